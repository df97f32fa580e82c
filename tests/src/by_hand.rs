//! What people do to containers by hand, with `docker`: rename, pause, disconnect, look into a database.

use anyhow::{Context, Result, ensure};
use bollard::Docker;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{
    EndpointIpamConfig, EndpointSettings, ExecConfig, NetworkConnectRequest, NetworkDisconnectRequest,
};
use bollard::query_parameters::{InspectContainerOptions, KillContainerOptions, RenameContainerOptionsBuilder};
use futures::TryStreamExt;

use crate::engine::{self, connect};

/// Prints the command line of every process but its own, and the name of one that has ended and was not waited for.
const PROCESSES: &str = r#"
import os
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        line = open(f"/proc/{pid}/cmdline").read().replace("\0", " ").strip()
        if int(pid) != os.getpid():
            print(line or open(f"/proc/{pid}/comm").read().strip())
    except (FileNotFoundError, ProcessLookupError):
        pass
"#;

/// One container, by id, so that it is found after a rename.
pub struct ByHand {
    docker: Docker,
    id: String,
}

impl ByHand {
    pub fn on(id: &str) -> Result<Self> {
        Ok(Self { docker: connect()?, id: id.to_owned() })
    }

    pub async fn rename(&self, called: &str) -> Result<()> {
        let options = RenameContainerOptionsBuilder::new().name(called).build();
        Ok(self.docker.rename_container(&self.id, options).await?)
    }

    /// Kills its process with SIGKILL.
    pub async fn kill(&self) -> Result<()> {
        Ok(self.docker.kill_container(&self.id, None::<KillContainerOptions>).await?)
    }

    /// Freezes its processes. Says so and returns `false` on an engine without cgroups, which cannot do that.
    pub async fn pause(&self) -> Result<bool> {
        if !engine::has_cgroups().await? {
            eprintln!("skipped: an engine without cgroups cannot pause a container");
            return Ok(false);
        }
        self.docker.pause_container(&self.id).await?;
        Ok(true)
    }

    /// Disconnects it from all its networks.
    pub async fn disconnect(&self) -> Result<()> {
        for (network, _) in self.networks().await? {
            let request = NetworkDisconnectRequest { container: self.id.clone(), force: Some(true) };
            self.docker.disconnect_network(&network, request).await?;
        }
        Ok(())
    }

    /// Connects it to a network at an address.
    pub async fn connect(&self, network: &str, address: &str) -> Result<()> {
        let ipam = EndpointIpamConfig { ipv4_address: Some(address.to_owned()), ..EndpointIpamConfig::default() };
        let endpoint = EndpointSettings { ipam_config: Some(ipam), ..EndpointSettings::default() };
        let request = NetworkConnectRequest { container: self.id.clone(), endpoint_config: Some(endpoint) };
        Ok(self.docker.connect_network(network, request).await?)
    }

    /// Its networks, and its address on each.
    pub async fn networks(&self) -> Result<Vec<(String, String)>> {
        let details = self.docker.inspect_container(&self.id, None::<InspectContainerOptions>).await?;
        let networks = details.network_settings.and_then(|it| it.networks).unwrap_or_default();
        Ok(networks.into_iter().map(|(name, it)| (name, it.ip_address.unwrap_or_default())).collect())
    }

    /// Its current name.
    pub async fn called(&self) -> Result<String> {
        let details = self.docker.inspect_container(&self.id, None::<InspectContainerOptions>).await?;
        Ok(details.name.unwrap_or_default().trim_start_matches('/').to_owned())
    }

    /// Removes a network. No container may be connected to it.
    pub async fn remove_network(&self, network: &str) -> Result<()> {
        Ok(self.docker.remove_network(network).await?)
    }

    /// Runs a statement in one of Boatyard's PostgreSQL containers, through the container's local socket.
    pub async fn sql(&self, statement: &str) -> Result<String> {
        let shell = r#"exec psql -At -U "$POSTGRES_USER" "$POSTGRES_DB" -c "$0""#;
        Ok(self.output(&["/bin/sh", "-c", shell, statement]).await?.trim().to_owned())
    }

    /// The command lines of the processes in a container that has Python. `docker top` does not work on an engine without
    /// cgroups.
    pub async fn processes(&self) -> Result<Vec<String>> {
        let listed = self.output(&["python3", "-c", PROCESSES]).await?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Runs a command in the container, and returns its output. Errors: it failed.
    async fn output(&self, command: &[&str]) -> Result<String> {
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.iter().map(|it| (*it).to_owned()).collect()),
            ..ExecConfig::default()
        };
        let exec = self.docker.create_exec(&self.id, config).await?.id;
        let started = self.docker.start_exec(&exec, None::<StartExecOptions>).await?;
        let StartExecResults::Attached { output, .. } = started else { anyhow::bail!("not attached") };
        let said: Vec<_> = output.try_collect().await?;
        let said: String = said.into_iter().map(|it| it.to_string()).collect();
        let code = self.docker.inspect_exec(&exec).await?.exit_code.context("it has ended")?;
        ensure!(code == 0, "{command:?}: {said}");
        Ok(said)
    }
}
