//! Images of the fake engine and of its registries.

use std::collections::BTreeSet;

use engine::port::*;
use engine::{EngineError, PullProblem, RegistryLogin, reference};
use futures::StreamExt;

use crate::Behaviour;
use crate::world::World;

/// Every image has this size.
const IMAGE_BYTES: u64 = 64 << 20;
/// Every image was built at the start of 2026.
const IMAGE_CREATED: u64 = 1_767_225_600;

pub(super) struct Image {
    pub tags: BTreeSet<String>,
    pub behaviour: Behaviour,
}

impl World {
    pub(super) fn add_image(&mut self, reference: &str, behaviour: Behaviour) -> String {
        let id = crate::build::image_id([reference.as_bytes()]);
        self.registry.insert(reference.to_owned(), (id.clone(), behaviour.clone()));
        self.put_image(&id, reference, behaviour.clone());
        self.images.entry(id.clone()).and_modify(|image| image.behaviour = behaviour);
        id
    }

    pub(super) fn push_image(&mut self, reference: &str, content: &str, behaviour: Behaviour) -> String {
        let id = crate::build::image_id([reference.as_bytes(), content.as_bytes()]);
        self.registry.insert(reference.to_owned(), (id.clone(), behaviour));
        id
    }

    /// Puts an image under a tag, and takes the tag from any other image.
    pub(super) fn put_image(&mut self, id: &str, tag: &str, behaviour: Behaviour) {
        self.images.values_mut().for_each(|image| {
            image.tags.remove(tag);
        });
        let image = self.images.entry(id.to_owned()).or_insert(Image { tags: BTreeSet::new(), behaviour });
        image.tags.insert(tag.to_owned());
    }

    /// The registry's name for the image under a tag, if the image has it from a registry.
    pub(super) fn digest_of(&self, reference: &str) -> Option<String> {
        let id = self.find_image(reference)?;
        let repository = engine::reference::split(reference).0;
        let pushed = self.registry.iter().any(|(it, (known, _))| *known == id && is_in(it, repository));
        pushed.then(|| format!("{repository}@{id}"))
    }

    /// What the registry has under a tag now.
    pub(super) fn registry_digest(
        &self,
        reference: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<String, EngineError> {
        let failed = |cause: &str| {
            let (reference, cause) = (reference.to_owned(), cause.to_owned());
            EngineError::RegistryQueryFailed { reference, cause }
        };
        if self.registry_logins.get(reference::host(reference)).is_some_and(|wanted| login != Some(wanted)) {
            return Err(failed("authentication required"));
        }
        let found = self.registry.get(reference).map(|(id, _)| id.clone());
        found.ok_or_else(|| failed("the registry does not have it"))
    }

    pub(super) fn pull(&mut self, reference: &str, login: Option<&RegistryLogin>) -> Result<String, EngineError> {
        if let Some(wanted) = self.registry_logins.get(reference::host(reference))
            && login != Some(wanted)
        {
            let problem = match login {
                Some(login) => PullProblem::LoginRefused { username: login.username.clone() },
                None => PullProblem::NoLogin,
            };
            let cause = "authentication required".to_owned();
            return Err(EngineError::PullFailed { reference: reference.to_owned(), problem, cause });
        }
        if self.pulls_are_limited {
            let (problem, cause) = (PullProblem::RateLimited, "too many requests".to_owned());
            return Err(EngineError::PullFailed { reference: reference.to_owned(), problem, cause });
        }
        let by_digest = reference.split_once('@').and_then(|(repository, digest)| {
            let mut pushed = self.registry.iter();
            pushed.find(|(it, (id, _))| id == digest && is_in(it, repository)).map(|(_, image)| image)
        });
        let Some((id, behaviour)) = self.registry.get(reference).or(by_digest).cloned() else {
            let (problem, cause) = (PullProblem::UnknownImage, "the registry does not have it".to_owned());
            return Err(EngineError::PullFailed { reference: reference.to_owned(), problem, cause });
        };
        self.put_image(&id, reference, behaviour);
        Ok(id)
    }

    pub(super) fn find_image(&self, reference: &str) -> Option<String> {
        let tagged = |(_, image): &(&String, &Image)| image.tags.contains(reference);
        let id = if self.images.contains_key(reference) { reference } else { self.images.iter().find(tagged)?.0 };
        Some(id.to_owned())
    }

    pub(super) fn tags(&self, prefix: &str) -> Vec<TaggedImage> {
        let all = self.images.iter().flat_map(|(id, image)| image.tags.iter().map(move |tag| (tag, id)));
        let tagged = |(reference, id): (&String, &String)| TaggedImage {
            reference: reference.clone(),
            id: id.clone(),
            size_bytes: IMAGE_BYTES,
            created_seconds: IMAGE_CREATED,
        };
        let mut tags: Vec<_> = all.filter(|(tag, _)| tag.starts_with(prefix)).map(tagged).collect();
        tags.sort();
        tags
    }

    pub(super) fn remove_image(&mut self, reference: &str) -> Result<Changed, EngineError> {
        let Some(id) = self.find_image(reference) else { return Ok(Changed::AlreadySo) };
        let in_use = self.containers.values().any(|process| process.spec.image == id);
        let Some(image) = self.images.get_mut(&id) else { return Ok(Changed::AlreadySo) };
        if reference != id && image.tags.len() > 1 {
            image.tags.remove(reference);
            return Ok(Changed::Done);
        }
        if in_use {
            let (what, detail) = (format!("image {reference}"), "a container uses it".to_owned());
            return Err(EngineError::Conflict { what, detail });
        }
        self.images.remove(&id);
        Ok(Changed::Done)
    }

    pub(super) fn directory(&self, container: &str, path: &str) -> Result<Option<TarStream>, EngineError> {
        if self.find(container).is_none() {
            return Err(EngineError::NotFound { what: format!("container {container}") });
        }
        let stream = self.directories.get(path).cloned();
        Ok(stream.map(|bytes| futures::stream::iter([Ok(bytes.into())]).boxed()))
    }

    pub(super) fn forget_image(&mut self, reference: &str) {
        if let Some(id) = self.find_image(reference) {
            self.images.remove(&id);
        }
    }
}

fn is_in(reference: &str, repository: &str) -> bool {
    engine::reference::split(reference).0 == repository
}
