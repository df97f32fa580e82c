//! The port on the fake engine: journal, planned failure, effect, reply.

use std::time::Duration;

use async_trait::async_trait;
use engine::port::*;
use engine::shell::{Shell, ShellMark, TerminalSize};
use engine::{EngineError, RegistryLogin};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::containers::KILLED;
use crate::script::{Fault, Verb};
use crate::world::World;
use crate::{Behaviour, FakeEngine, publish};

/// The deadlines of the real port.
const DEADLINE: Duration = Duration::from_secs(30);
const LIST_DEADLINE: Duration = Duration::from_secs(15);

impl FakeEngine {
    /// Makes one call: records it, fails it if planned, and otherwise applies its effect atomically.
    async fn perform<T>(
        &self,
        verb: Verb,
        what: &str,
        effect: impl FnOnce(&mut World) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let fault = self.begin(verb, what).await?;
        let outcome = self.change(effect);
        reply(fault, outcome).await
    }

    /// The part before the effect. Yields to other tasks first, as a real call would.
    async fn begin(&self, verb: Verb, what: &str) -> Result<Option<Fault>, EngineError> {
        tokio::task::yield_now().await;
        let (fault, down, wedged, full) = {
            let mut world = self.lock();
            let wedged = matches!(verb, Verb::Stop | Verb::Remove) && world.wedged.contains(what);
            (world.script.begin(verb, what), world.down, wedged, world.disk_full)
        };
        let after = if verb == Verb::List { LIST_DEADLINE } else { DEADLINE };
        let thawed = self.until(|world| (!world.frozen).then_some(()));
        if tokio::time::timeout(after, thawed).await.is_err() {
            return Err(EngineError::Timeout { verb: "frozen", after });
        }
        let writes = matches!(verb, Verb::Create | Verb::Start | Verb::Pull | Verb::Build);
        match fault {
            Some(Fault::Hang) => std::future::pending().await,
            _ if down => Err(EngineError::Unreachable {
                socket: "/fake/engine.sock".into(),
                source: std::io::ErrorKind::ConnectionRefused.into(),
            }),
            _ if wedged => Err(EngineError::Timeout { verb: "stop", after: Duration::from_secs(30) }),
            Some(Fault::Before) => Err(EngineError::Other {
                verb: "scripted",
                status: Some(500),
                message: format!("{verb:?} of {what:?} fails because the test says so"),
            }),
            _ if full && writes => Err(EngineError::DiskFull { detail: "no space left on device".into() }),
            other => Ok(other),
        }
    }

    /// Waits until `look` returns a value.
    pub(super) async fn until<T>(&self, mut look: impl FnMut(&World) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        loop {
            if let Some(found) = look(&self.lock()) {
                return found;
            }
            // `self` owns the sender, so this returns only when something changes.
            let _ = changes.changed().await;
        }
    }
}

/// The part after the effect.
async fn reply<T>(fault: Option<Fault>, outcome: Result<T, EngineError>) -> Result<T, EngineError> {
    match fault {
        Some(Fault::After) => Err(EngineError::Timeout { verb: "scripted", after: Duration::from_secs(30) }),
        Some(Fault::Late(delay)) => {
            tokio::time::sleep(delay).await;
            outcome
        }
        _ => outcome,
    }
}

#[async_trait]
impl Engine for FakeEngine {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        let info = EngineInfo {
            version: "20.10.24".into(),
            api_version: "1.41".into(),
            cpus: 4,
            memory_bytes: 8 << 30,
            rootless: false,
            desktop: false,
            limits: SupportedLimits::ALL,
            live_restore: false,
            operating_system: "a fake".into(),
            data_root: std::env::temp_dir(),
        };
        self.perform(Verb::Info, "", |_| Ok(info)).await
    }

    fn remember(&self, made: Vec<MadeContainer>) {
        self.change(|world| world.remembered.extend(made.into_iter().map(|it| it.id)));
    }

    async fn list(&self) -> Result<Vec<Container>, EngineError> {
        self.perform(Verb::List, "", |world| Ok(world.list())).await
    }

    async fn inspect(&self, name: &str) -> Result<Option<ContainerDetails>, EngineError> {
        self.perform(Verb::Inspect, name, |world| {
            Ok(world.find(name).map(|process| ContainerDetails {
                container: process.as_container(),
                started_at: process.started_at.clone(),
                finished_at: process.finished_at.clone(),
                exit_code: process.exit_code(),
                oom_killed: process.out_of_memory,
                restart_count: process.restarts.into(),
                restart_policy: process.policy,
                limits: process.limits,
                aliases: process.network.iter().flat_map(|join| join.aliases.clone()).collect(),
            }))
        })
        .await
    }

    async fn usage(&self, container: &Container) -> Result<Option<Usage>, EngineError> {
        let name = &container.name;
        let used = |world: &mut World| world.find(name).and_then(|process| process.usage);
        self.perform(Verb::Usage, name, |world| Ok(used(world))).await
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        self.perform(Verb::Create, &spec.name, |world| world.create(spec)).await
    }

    async fn start(&self, name: &str) -> Result<Changed, EngineError> {
        let fault = self.begin(Verb::Start, name).await?;
        let outcome = self.change(|world| world.start(name));
        if let Ok(Changed::Done) = outcome {
            self.running(name);
        }
        reply(fault, outcome).await
    }

    async fn set_restart_policy(&self, name: &str, policy: RestartPolicy) -> Result<Changed, EngineError> {
        self.perform(Verb::SetRestartPolicy, name, |world| {
            let before = std::mem::replace(&mut world.get_mut(name)?.policy, policy);
            if before == policy {
                return Ok(Changed::AlreadySo);
            }
            world.report(name, "update");
            Ok(Changed::Done)
        })
        .await
    }

    async fn stop(&self, name: &str, grace: Duration) -> Result<Changed, EngineError> {
        let fault = self.begin(Verb::Stop, name).await?;
        let live = self.lock().find(name).filter(|p| p.is_live()).map(|p| p.behaviour.ignores_stop);
        let Some(ignores_stop) = live else { return reply(fault, Ok(Changed::AlreadySo)).await };
        if ignores_stop {
            tokio::time::sleep(grace).await;
        }
        self.change(|world| world.end(name, if ignores_stop { KILLED } else { 143 }));
        reply(fault, Ok(Changed::Done)).await
    }

    async fn remove(&self, name: &str) -> Result<Changed, EngineError> {
        self.perform(Verb::Remove, name, |world| match world.find(name) {
            Some(_) => Ok(world.delete(name)),
            None => Ok(Changed::AlreadySo),
        })
        .await
    }

    async fn wait(&self, name: &str) -> Result<i64, EngineError> {
        let fault = self.begin(Verb::Wait, name).await?;
        let outcome = self
            .until(|world| match world.get(name) {
                Err(error) => Some(Err(error)),
                Ok(process) if process.state == ContainerState::Created => Some(Err(EngineError::Conflict {
                    what: format!("container {name}"),
                    detail: "it was never started, so it has no exit code".into(),
                })),
                Ok(process) => process.exit_code().map(Ok),
            })
            .await;
        reply(fault, outcome).await
    }

    async fn logs(&self, name: &str, query: &LogQuery) -> Result<LogLines, EngineError> {
        let first = self
            .perform(Verb::Logs, name, |world| {
                let kept = world.get(name)?.log.len();
                Ok(query.tail.map_or(0, |tail| kept.saturating_sub(tail)))
            })
            .await?;
        let (fake, name, follow) = (self.clone(), name.to_owned(), query.follow);
        let lines = futures::stream::unfold(first, move |at| {
            let (fake, name) = (fake.clone(), name.clone());
            async move {
                let line = fake.until(|world| {
                    let Ok(process) = world.get(&name) else { return Some(None) };
                    match process.log.get(at) {
                        Some(line) => Some(Some(line.clone())),
                        None if follow && process.is_live() => None,
                        None => Some(None),
                    }
                });
                line.await.map(|line| (Ok(line), at + 1))
            }
        });
        Ok(lines.boxed())
    }

    async fn directory(&self, name: &str, path: &str) -> Result<Option<TarStream>, EngineError> {
        self.perform(Verb::Directory, name, |world| world.directory(name, path)).await
    }

    async fn has_shell(&self, name: &str) -> Result<bool, EngineError> {
        self.perform(Verb::HasShell, name, |world| world.has_shell(name)).await
    }

    async fn open_shell(&self, name: &str, mark: &ShellMark, size: TerminalSize) -> Result<Shell, EngineError> {
        self.perform(Verb::OpenShell, name, |world| world.add_shell(name, mark, size)).await?;
        Ok(self.run_shell(mark))
    }

    async fn resize_shell(&self, id: &str, size: TerminalSize) -> Result<(), EngineError> {
        self.perform(Verb::ResizeShell, id, |world| {
            if let Some(shell) = world.shells.get_mut(id) {
                shell.size = size;
            }
            Ok(())
        })
        .await
    }

    async fn end_shell(&self, name: &str, mark: &ShellMark) -> Result<Changed, EngineError> {
        self.perform(Verb::EndShell, name, |world| Ok(world.end_shell(mark))).await
    }

    async fn connect(&self, name: &str, join: &NetworkJoin) -> Result<Changed, EngineError> {
        self.perform(Verb::Connect, name, |world| {
            let process = world.get(name)?;
            if process.network.as_ref() == Some(join) {
                return Ok(Changed::AlreadySo);
            }
            if process.is_live() {
                world.check_place(name, join)?;
            }
            world.get_mut(name)?.network = Some(join.clone());
            world.report(name, "network connect");
            Ok(Changed::Done)
        })
        .await
    }

    async fn restore_name(&self, name: &str) -> Result<Changed, EngineError> {
        self.perform(Verb::RestoreName, name, |world| world.restore_name(name)).await
    }

    async fn set_limits(&self, name: &str, limits: Limits) -> Result<Changed, EngineError> {
        self.perform(Verb::SetLimits, name, |world| {
            let before = std::mem::replace(&mut world.get_mut(name)?.limits, limits);
            if before == limits {
                return Ok(Changed::AlreadySo);
            }
            world.report(name, "update");
            Ok(Changed::Done)
        })
        .await
    }

    async fn networks(&self) -> Result<Vec<Network>, EngineError> {
        self.perform(Verb::Networks, "", |world| {
            Ok(world.networks.values().map(|(id, spec)| network(id, spec)).collect())
        })
        .await
    }

    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<Network, EngineError> {
        self.perform(Verb::EnsureNetwork, &spec.name, |world| {
            if let Some((id, spec)) = world.networks.get(&spec.name) {
                return Ok(network(id, spec));
            }
            let used = world.networks.values().any(|(_, other)| other.subnet == spec.subnet);
            if used || world.foreign_subnets.contains(&spec.subnet) {
                let detail = "another network has it".to_owned();
                return Err(EngineError::SubnetTaken { subnet: spec.subnet.clone(), detail });
            }
            let id = world.next_id();
            world.networks.insert(spec.name.clone(), (id.clone(), spec.clone()));
            Ok(network(&id, spec))
        })
        .await
    }

    async fn remove_network(&self, name: &str) -> Result<Changed, EngineError> {
        self.perform(Verb::RemoveNetwork, name, |world| {
            let Some((id, _)) = world.networks.get(name) else { return Ok(Changed::AlreadySo) };
            let by: Vec<_> = world.members(id).into_iter().map(|it| it.called).collect();
            if !by.is_empty() {
                return Err(EngineError::NetworkInUse { network: name.to_owned(), by });
            }
            let removed = world.networks.remove(name);
            let app = removed.map(|(_, spec)| spec.identity.app).unwrap_or_default();
            publish(&world.events, &app, "", "network destroy", None);
            Ok(Changed::Done)
        })
        .await
    }

    async fn network_members(&self, name: &str) -> Result<Vec<NetworkMember>, EngineError> {
        self.perform(Verb::NetworkMembers, name, |world| {
            Ok(world.networks.get(name).map(|(id, _)| world.members(id)).unwrap_or_default())
        })
        .await
    }

    async fn volumes(&self) -> Result<Vec<Volume>, EngineError> {
        self.perform(Verb::Volumes, "", |world| {
            let volume =
                |(name, identity): (&String, &Identity)| Volume { name: name.clone(), identity: identity.clone() };
            Ok(world.volumes.iter().map(volume).collect())
        })
        .await
    }

    async fn ensure_volume(&self, name: &str, identity: &Identity) -> Result<Changed, EngineError> {
        self.perform(Verb::EnsureVolume, name, |world| {
            if world.volumes.contains_key(name) {
                return Ok(Changed::AlreadySo);
            }
            world.volumes.insert(name.to_owned(), identity.clone());
            Ok(Changed::Done)
        })
        .await
    }

    async fn remove_volume(&self, name: &str) -> Result<Changed, EngineError> {
        self.perform(Verb::RemoveVolume, name, |world| {
            let mounts = |volume: &VolumeMount| volume.volume == name;
            if world.containers.values().any(|p| p.spec.volume.as_ref().is_some_and(mounts)) {
                let (what, detail) = (format!("volume {name}"), "a container has it".to_owned());
                return Err(EngineError::Conflict { what, detail });
            }
            Ok(if world.volumes.remove(name).is_some() { Changed::Done } else { Changed::AlreadySo })
        })
        .await
    }

    async fn volume_users(&self, volume: &str, owner: &str) -> Result<Vec<VolumeUser>, EngineError> {
        self.perform(Verb::VolumeUsers, volume, |world| Ok(world.volume_users(volume, owner))).await
    }

    async fn image(&self, reference: &str) -> Result<Option<String>, EngineError> {
        self.perform(Verb::Image, reference, |world| Ok(world.find_image(reference))).await
    }

    async fn image_digest(&self, reference: &str) -> Result<Option<String>, EngineError> {
        self.perform(Verb::ImageDigest, reference, |world| Ok(world.digest_of(reference))).await
    }

    async fn registry_digest(&self, reference: &str, login: Option<&RegistryLogin>) -> Result<String, EngineError> {
        self.perform(Verb::RegistryDigest, reference, |world| world.registry_digest(reference, login)).await
    }

    async fn image_defaults(&self, image: &str) -> Result<ImageDefaults, EngineError> {
        self.perform(Verb::ImageDefaults, image, |world| match world.find_image(image) {
            Some(_) => Ok(ImageDefaults::default()),
            None => Err(EngineError::ImageMissing { reference: image.to_owned() }),
        })
        .await
    }

    async fn pull(&self, reference: &str, login: Option<&RegistryLogin>) -> Result<String, EngineError> {
        self.perform(Verb::Pull, reference, |world| world.pull(reference, login)).await
    }

    async fn tag(&self, image: &str, reference: &str) -> Result<(), EngineError> {
        self.perform(Verb::Tag, reference, |world| {
            let id =
                world.find_image(image).ok_or_else(|| EngineError::ImageMissing { reference: image.to_owned() })?;
            world.put_image(&id, reference, Behaviour::default());
            Ok(())
        })
        .await
    }

    async fn tags(&self, prefix: &str) -> Result<Vec<TaggedImage>, EngineError> {
        self.perform(Verb::Tags, prefix, |world| Ok(world.tags(prefix))).await
    }

    async fn remove_image(&self, reference: &str) -> Result<Changed, EngineError> {
        self.perform(Verb::RemoveImage, reference, |world| world.remove_image(reference)).await
    }

    async fn build(&self, spec: &BuildSpec, context: Context) -> Result<BuildEvents, EngineError> {
        self.perform(Verb::Build, &spec.tag, |_| Ok(())).await?;
        Ok(self.run_build(spec, context))
    }

    async fn events(&self) -> Result<BoxStream<'static, Event>, EngineError> {
        let receiver = self.perform(Verb::Events, "", |world| Ok(world.events.subscribe())).await?;
        let events = futures::stream::unfold(receiver, |mut receiver| async move {
            use tokio::sync::broadcast::error::RecvError;
            loop {
                match receiver.recv().await {
                    Ok(event) => return Some((event, receiver)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        Ok(events.boxed())
    }
}

fn network(id: &str, spec: &NetworkSpec) -> Network {
    Network { id: id.to_owned(), name: spec.name.clone(), identity: spec.identity.clone(), subnet: spec.subnet.clone() }
}
