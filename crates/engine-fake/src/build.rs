//! Builds of the fake engine: the same spec and context give the same image.

use engine::EngineError;
use engine::port::{BuildEvent, BuildEvents, BuildSpec, BuildStepState, Context};
use futures::StreamExt;
use sha2::{Digest, Sha256};

use crate::{Behaviour, FakeEngine};

/// How builds behave.
#[derive(Debug, Default)]
pub(super) struct Builds {
    pub behaviour: Behaviour,
    pub failure: Option<(String, String)>,
    pub held: bool,
}

const STEP: &str = "[1/1] COPY . .";

impl FakeEngine {
    /// One step, one line of output, one image. The build stops when the reader leaves.
    pub(super) fn run_build(&self, spec: &BuildSpec, context: Context) -> BuildEvents {
        let (fake, spec) = (self.clone(), spec.clone());
        let beginning = [
            Ok(BuildEvent::Step { name: STEP.into(), state: BuildStepState::Started }),
            Ok(BuildEvent::Log(format!("building {}", spec.tag))),
        ];
        let rest = futures::stream::once(async move { fake.finish_build(spec, context).await }).flat_map(|outcome| {
            let events = match outcome {
                Ok(image) => vec![
                    Ok(BuildEvent::Step { name: STEP.into(), state: BuildStepState::Done }),
                    Ok(BuildEvent::Built { image }),
                ],
                Err(error) => vec![Err(error)],
            };
            futures::stream::iter(events)
        });
        futures::stream::iter(beginning).chain(rest).boxed()
    }

    async fn finish_build(&self, spec: BuildSpec, mut context: Context) -> Result<String, EngineError> {
        let mut hash = Sha256::new();
        while let Some(chunk) = context.next().await {
            hash.update(chunk.map_err(|source| EngineError::ContextFailed { source })?);
        }
        self.until(|world| (!world.builds.held).then_some(())).await;
        let inputs = format!("{:?} {:?} {:?} {:?}", spec.dockerfile, spec.args, spec.cache_key, spec.labels);
        let id = image_id([inputs.as_bytes(), &hash.finalize()]);
        self.change(|world| {
            if let Some((step, message)) = world.builds.failure.take() {
                return Err(EngineError::BuildFailed { step, message });
            }
            let behaviour = world.builds.behaviour.clone();
            world.put_image(&id, &spec.tag, behaviour);
            Ok(id)
        })
    }
}

pub(super) fn image_id<const N: usize>(parts: [&[u8]; N]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("sha256:{}", hex::encode(hash.finalize()))
}
