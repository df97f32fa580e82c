//! The source of a component: exactly one of five kinds.

use std::sync::LazyLock;

use crate::diagnostic::{Code, Diagnostic};
use crate::secret::SecretValue;
use crate::tree::{Entry, Node};
use crate::value::form;
use crate::value::rule::{ANY, up_to};
use crate::value::{Field, Object, Reader, SpecValue, Writer, object, words};

/// The source of a component.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Source {
    /// No source. [`AppSpec::from_yaml`](crate::AppSpec::from_yaml) refuses such a component, so this occurs only in a
    /// spec built in code.
    #[default]
    Missing,
    /// Any Git repository.
    Git(GitSource),
    /// A GitHub repository, cloned from `https://github.com/<repo>.git`.
    Github(HostedSource),
    /// A GitLab project.
    Gitlab(HostedSource),
    /// A Bitbucket repository.
    Bitbucket(HostedSource),
    /// An existing image. Nothing is built.
    Image(ImageSource),
}

object! {
    /// A repository on any host. The login for a private one is not in the spec.
    "a git source" struct GitSource {
        /// Clone address without a login: `https://`, `ssh://` or `user@host:path`, or a path on this host if paths are
        /// allowed.
        repo_clone_url: String = up_to(255).required().of_form(form::clone_address).private(),
        /// Absent: the repository's default branch.
        branch: Option<String> = up_to(255).of_form(form::unsubstituted),
        /// Whether to deploy again when the branch changes. Only Boatyard has this field.
        deploy_on_push: bool = ANY,
    }
}

object! {
    /// A repository of a hosting service.
    "a GitHub, GitLab or Bitbucket source" struct HostedSource {
        /// `owner/repo`. GitLab and Bitbucket allow more parts.
        repo: String = up_to(255).required().of_form(form::owner_and_repo).private().like(form::OWNER_AND_REPO),
        /// Absent: the repository's default branch.
        branch: Option<String> = up_to(255).of_form(form::unsubstituted),
        /// Whether to deploy again when the branch changes.
        deploy_on_push: bool = ANY,
    }
}

object! {
    /// An image in a registry. See [`image_reference`](crate::image_reference).
    "an image source" struct ImageSource {
        /// The kind of registry.
        registry_type: Option<RegistryType> = ANY.required(),
        /// Docker Hub: user or organisation, `library` for official images. GHCR: owner. DOCR: usually absent.
        registry: Option<String> = up_to(192).of_form(form::repository).like(form::REPOSITORY),
        /// The repository inside the registry.
        repository: String = up_to(192).required().of_form(form::repository).like(form::REPOSITORY),
        /// Absent: `latest`, unless a digest is given. Cannot be combined with `digest`.
        tag: Option<String> = up_to(192).of_form(form::tag).like(form::TAG).or("latest"),
        /// `sha256:…`: pins the image. Cannot be combined with `tag`.
        digest: Option<String> = up_to(192).of_form(form::digest).like("^sha256:[0-9a-f]{64}$"),
        /// The login, as `user:token`.
        registry_credentials: Option<SecretValue> = ANY,
        /// Whether to deploy again when the tag changes (DOCR only).
        deploy_on_push: Option<ImageDeployOnPush> = ANY,
    }
}

object! {
    /// Whether to deploy when the tag changes.
    "deploy_on_push of an image" struct ImageDeployOnPush {
        /// Whether it is on. Off by default.
        enabled: bool = ANY,
    }
}

words! {
    /// The registry an image comes from.
    enum RegistryType {
        /// Not given.
        Unspecified = "UNSPECIFIED",
        /// Docker Hub.
        DockerHub = "DOCKER_HUB",
        /// DigitalOcean's container registry.
        Docr = "DOCR",
        /// GitHub's container registry.
        Ghcr = "GHCR",
    }
}

impl Source {
    /// The image, if the source is an image.
    pub fn image(&self) -> Option<&ImageSource> {
        match self {
            Source::Image(image) => Some(image),
            _ => None,
        }
    }

    /// The clone address and the branch, if the source is a repository. Without a branch, the default branch applies.
    pub fn repository(&self) -> Option<(String, Option<&str>)> {
        match self {
            Source::Git(git) => Some((git.repo_clone_url.clone(), git.branch.as_deref())),
            Source::Github(hosted) => Some((hosted.address("github.com"), hosted.branch.as_deref())),
            Source::Gitlab(hosted) => Some((hosted.address("gitlab.com"), hosted.branch.as_deref())),
            Source::Bitbucket(hosted) => Some((hosted.address("bitbucket.org"), hosted.branch.as_deref())),
            Source::Image(_) | Source::Missing => None,
        }
    }

    /// Whether a component with this source is deployed again when its branch or tag changes. A digest never changes.
    pub fn deploys_on_push(&self) -> bool {
        match self {
            Source::Git(git) => git.deploy_on_push,
            Source::Github(hosted) | Source::Gitlab(hosted) | Source::Bitbucket(hosted) => hosted.deploy_on_push,
            Source::Image(image) => {
                image.digest.is_none() && image.deploy_on_push.as_ref().is_some_and(|it| it.enabled)
            }
            Source::Missing => false,
        }
    }

    /// The same source, without `deploy_on_push`.
    pub fn without_deploy_on_push(&self) -> Source {
        let mut source = self.clone();
        match &mut source {
            Source::Git(git) => git.deploy_on_push = false,
            Source::Github(hosted) | Source::Gitlab(hosted) | Source::Bitbucket(hosted) => {
                hosted.deploy_on_push = false
            }
            Source::Image(image) => image.deploy_on_push = None,
            Source::Missing => {}
        }
        source
    }

    /// The name of the field that gave the source, for example `github`. Empty if there is no source.
    pub fn field(&self) -> &'static str {
        match self {
            Source::Missing => "",
            Source::Git(_) => "git",
            Source::Github(_) => "github",
            Source::Gitlab(_) => "gitlab",
            Source::Bitbucket(_) => "bitbucket",
            Source::Image(_) => "image",
        }
    }
}

impl HostedSource {
    fn address(&self, host: &str) -> String {
        format!("https://{host}/{}.git", self.repo)
    }
}

/// Reads one of the five fields into the enum and refuses a second one.
impl Object for Source {
    const WHAT: &'static str = "a source";

    fn fields() -> &'static [Field] {
        static FIELDS: LazyLock<[Field; 5]> = LazyLock::new(|| {
            [
                field::<GitSource>("git", "A repository on any host."),
                field::<HostedSource>("github", "A GitHub repository."),
                field::<HostedSource>("gitlab", "A GitLab project."),
                field::<HostedSource>("bitbucket", "A Bitbucket repository."),
                field::<ImageSource>("image", "An existing image. Nothing is built."),
            ]
        });
        &*FIELDS
    }

    fn read_field(&mut self, entry: &Entry, reader: &mut Reader) -> bool {
        let Some(Field { name, .. }) = Source::fields().iter().find(|field| *field.name == *entry.key) else {
            return false;
        };
        let source = reader.field(name, entry, |reader| match *name {
            _ if entry.value.is_null() => None,
            "git" => Some(Source::Git(read(entry, reader))),
            "github" => Some(Source::Github(read(entry, reader))),
            "gitlab" => Some(Source::Gitlab(read(entry, reader))),
            "bitbucket" => Some(Source::Bitbucket(read(entry, reader))),
            _ => Some(Source::Image(read(entry, reader))),
        });
        if let Some(source) = source {
            self.take(source, entry, reader);
        }
        true
    }

    fn finish(&mut self, what: &str, node: &Node, reader: &mut Reader) {
        if *self == Source::Missing {
            let start = node.place.map(|p| crate::Place { end: p.start, ..p });
            let message = format!("{what} needs a source, such as `git` or `github`");
            reader.report(Diagnostic::error(Code::Missing, reader.path(), message).at(start));
        }
    }

    fn write_fields(&self, writer: &mut Writer<'_>, out: &mut Vec<Entry>) {
        writer.trail.push(self.field());
        let value = match self {
            Source::Missing => None,
            Source::Git(git) => git.write(writer),
            Source::Github(hosted) | Source::Gitlab(hosted) | Source::Bitbucket(hosted) => hosted.write(writer),
            Source::Image(image) => image.write(writer),
        };
        out.extend(value.map(|value| Entry::new(self.field(), value)));
        writer.trail.pop();
    }
}

fn field<T: SpecValue>(name: &'static str, doc: &'static str) -> Field {
    Field { name, doc, shape: T::shape(), rule: ANY }
}

/// A source that cannot be read still counts as given.
fn read<T: SpecValue + Default>(entry: &Entry, reader: &mut Reader) -> T {
    T::read(&entry.value, &ANY, reader).unwrap_or_default()
}

impl Source {
    /// Sets the source and reports it if there already is one.
    fn take(&mut self, last: Source, entry: &Entry, reader: &mut Reader) {
        let first = std::mem::replace(self, last);
        if first != Source::Missing {
            let message =
                format!("a component has exactly one source, found `{}` and `{}`", first.field(), self.field());
            let clash = Diagnostic::error(Code::Conflict, reader.path_of(self.field()), message).at(entry.key_place);
            let path = reader.path_of(first.field());
            let place = reader.places.nearest(&path);
            reader.report(clash.related(path, place, "the other source").help("keep one of them"));
        }
    }
}
