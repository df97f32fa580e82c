//! The source of a component: exactly one of five kinds.

use crate::diagnostic::{Code, Diagnostic};
use crate::secret::SecretValue;
use crate::tree::{Entry, Node};
use crate::value::form;
use crate::value::rule::{ANY, up_to};
use crate::value::{Field, Object, Reader, SpecValue, Writer, field_name, object, words};

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
    /// A repository that can be cloned without a login.
    "a git source" struct GitSource {
        /// Clone address without a login: `https://`, or a path on this host if paths are allowed. Boatyard cannot
        /// fetch repositories by ssh yet.
        repo_clone_url: String = up_to(255).required().of_form(form::clone_address).private(),
        /// Absent: the repository's default branch.
        branch: Option<String> = up_to(255).of_form(form::unsubstituted),
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
macro_rules! sources {
    ($( $(#[doc = $doc:literal])* $field:ident => $Variant:ident($Inner:ty) ),* $(,)?) => {
        impl Object for Source {
            const WHAT: &'static str = "a source";

            fn fields() -> &'static [Field] {
                static FIELDS: std::sync::LazyLock<Vec<Field>> = std::sync::LazyLock::new(|| {
                    vec![$( Field {
                        name: field_name!($field),
                        doc: concat!($($doc),*),
                        shape: <$Inner as SpecValue>::shape(),
                        rule: ANY,
                    } ),*]
                });
                &FIELDS
            }

            fn read_field(&mut self, entry: &Entry, reader: &mut Reader) -> bool {
                match &*entry.key {
                    $( field_name if field_name == field_name!($field) => {
                        let read = reader.field(field_name!($field), entry, |reader| {
                            match entry.value.is_null() {
                                true => None,
                                false => Some(<$Inner as SpecValue>::read(&entry.value, &ANY, reader)),
                            }
                        });
                        if let Some(inner) = read {
                            self.take(Source::$Variant(inner.unwrap_or_default()), entry, reader);
                        }
                        true
                    } )*
                    _ => false,
                }
            }

            fn finish(&mut self, what: &str, node: &Node, reader: &mut Reader) {
                if *self == Source::Missing {
                    let start = node.place.map(|p| crate::Place { end: p.start, ..p });
                    let message = format!("{what} needs a source, such as `git` or `github`");
                    reader.report(Diagnostic::error(Code::Missing, reader.path(), message).at(start));
                }
            }

            fn write_fields(&self, writer: &mut Writer<'_>, out: &mut Vec<Entry>) {
                match self {
                    Source::Missing => {}
                    $( Source::$Variant(inner) => {
                        writer.trail.push(field_name!($field));
                        out.extend(inner.write(writer).map(|value| Entry::new(field_name!($field), value)));
                        writer.trail.pop();
                    } )*
                }
            }
        }
    };
}

sources! {
    /// A repository that can be cloned without a login.
    git => Git(GitSource),
    /// A GitHub repository that can be cloned without a login.
    github => Github(HostedSource),
    /// A GitLab project.
    gitlab => Gitlab(HostedSource),
    /// A Bitbucket repository.
    bitbucket => Bitbucket(HostedSource),
    /// An existing image. Nothing is built.
    image => Image(ImageSource),
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
