//! Components that run containers: services, workers, jobs.

use super::env::EnvVar;
use super::health::{Autoscaling, HealthCheck, LivenessHealthCheck, ServiceTermination, Termination};
use super::ingress::{Cors, Route};
use super::opaque::Opaque;
use super::source::Source;
use crate::value::form;
use crate::value::rule::{ANY, NAME, PORT, range};
use crate::value::{object, words};

object! {
    /// What services, workers and jobs have in common.
    "a component" struct Common {
        .. {
            /// The source.
            source: Source,
        }
        /// Unique among all components and databases of the app.
        name: String = NAME,
        /// Root of the build context, relative to the repository; absent: the repository's root.
        source_dir: Option<String> = ANY.of_form(form::inside_repository),
        /// Relative to the repository's root, not to `source_dir`. Absent: a Dockerfile in `source_dir`, else a build
        /// for the detected language.
        dockerfile_path: Option<String> = ANY.of_form(form::inside_repository),
        /// An extra build step. Ignored with a Dockerfile or an image.
        build_command: Option<String> = ANY,
        /// Replaces the image's start command. Runs in a shell.
        run_command: Option<String> = ANY,
        /// A hint at the language. Any value is accepted.
        environment_slug: Option<String> = ANY,
        /// Variables. They override variables of the app with the same name.
        envs: Vec<EnvVar> = ANY,
        /// 1 to 250; see [`Common::instance_count`].
        instance_count: Option<u32> = range(1, 250).or_number(1),
        /// CPU and memory; see [`instance_size`](crate::instance_size).
        instance_size_slug: Option<String> = ANY.one_of(&crate::size::SLUGS).or(crate::size::DEFAULT),
        /// Kept; has no effect on one host.
        alerts: Opaque = ANY,
        /// Where logs are forwarded.
        log_destinations: Opaque = ANY,
    }
}

object! {
    /// Serves requests on a port.
    "a service" struct Service labelled "name" common.name {
        .. {
            /// The name, source, variables and size.
            common: Common,
        }
        /// The port that the process listens on. See [`AppSpec::http_port`](crate::AppSpec::http_port).
        http_port: Option<u16> = PORT.or_number(8080),
        /// The protocol between the ingress and the service.
        protocol: Option<Protocol> = ANY.or("HTTP"),
        /// Ports for other components of the app only.
        internal_ports: Vec<u16> = PORT,
        /// When an instance is ready. Absent: when the port accepts connections.
        health_check: Option<HealthCheck> = ANY,
        /// When to restart a running instance.
        liveness_health_check: Option<LivenessHealthCheck> = ANY,
        /// Path prefixes of the service. Older than `ingress`, which overrides it.
        routes: Vec<Route> = ANY,
        /// Deprecated: use `cors` of ingress rules.
        cors: Option<Cors> = ANY,
        /// Scales the number of instances with the load.
        autoscaling: Option<Autoscaling> = ANY,
        /// How to stop an instance.
        termination: Option<ServiceTermination> = ANY,
        /// Stops the service while it receives no requests.
        inactivity_sleep: Opaque = ANY,
    }
}

object! {
    /// Runs all the time and does not receive requests.
    "a worker" struct Worker labelled "name" common.name {
        .. {
            /// The name, source, variables and size.
            common: Common,
        }
        /// When to restart a running instance. A worker has no HTTP port, so the check must name a port.
        liveness_health_check: Option<LivenessHealthCheck> = ANY,
        /// Scales the number of instances with the load.
        autoscaling: Option<Autoscaling> = ANY,
        /// How to stop an instance.
        termination: Option<Termination> = ANY,
    }
}

object! {
    /// Runs once around a deployment, or on a schedule.
    "a job" struct Job labelled "name" common.name {
        .. {
            /// The name, source, variables and size.
            common: Common,
        }
        /// When it runs; see [`Job::kind`].
        kind: Option<JobKind> = ANY.or("POST_DEPLOY"),
        /// The times of a scheduled job.
        schedule: Option<Schedule> = ANY,
        /// The time after which the job is stopped: a duration such as `1h30m`. The platform's default is 30 minutes.
        timeout: Option<String> = ANY.of_form(form::duration).like(form::DURATION).or("30m"),
        /// How to stop the job.
        termination: Option<Termination> = ANY,
    }
}

object! {
    /// When a scheduled job runs.
    "a schedule" struct Schedule {
        /// Five fields: minute, hour, day, month, weekday.
        cron: String = ANY.required().of_form(form::cron),
        /// A time zone name such as `Europe/Berlin`. UTC when absent.
        time_zone: Option<String> = ANY.of_form(form::time_zone).or("UTC"),
    }
}

words! {
    /// The protocol between the ingress and a service.
    enum Protocol {
        /// HTTP/1.1, the default.
        Http = "HTTP",
        /// HTTP/2 over clear text with prior knowledge.
        Http2 = "HTTP2",
    }
}

words! {
    /// When a job runs.
    enum JobKind {
        /// The same as POST_DEPLOY.
        Unspecified = "UNSPECIFIED",
        /// After the build, before the first instance is replaced.
        PreDeploy = "PRE_DEPLOY",
        /// After all new instances receive traffic.
        PostDeploy = "POST_DEPLOY",
        /// After a failed deployment.
        FailedDeploy = "FAILED_DEPLOY",
        /// At the times of a cron schedule.
        Scheduled = "SCHEDULED",
    }
}

impl Common {
    /// The number of instances. Defaults to 1.
    pub fn instance_count(&self) -> u32 {
        self.instance_count.unwrap_or(1)
    }

    /// The slug of the size. Defaults to `apps-s-1vcpu-0.5gb`.
    pub fn instance_size_slug(&self) -> &str {
        self.instance_size_slug.as_deref().unwrap_or(crate::size::DEFAULT)
    }
}

/// The fields by which a component is built: those that services, workers, jobs and static sites share.
#[derive(Clone, Copy, Debug)]
pub struct BuildFields<'a> {
    /// The repository or the image.
    pub source: &'a Source,
    /// `source_dir`, as written.
    pub source_dir: Option<&'a str>,
    /// `dockerfile_path`, as written.
    pub dockerfile_path: Option<&'a str>,
    /// The build step.
    pub build_command: Option<&'a str>,
    /// The start command. It has no effect for a static site.
    pub run_command: Option<&'a str>,
    /// A hint at the language.
    pub environment_slug: Option<&'a str>,
    /// The directory with the files of a static site.
    pub output_dir: Option<&'a str>,
}

impl BuildFields<'_> {
    /// `source_dir` without surrounding `/` or `./`. Empty for the repository's root.
    pub fn source_dir(&self) -> String {
        self.source_dir.map(normalise).unwrap_or_default()
    }

    /// `dockerfile_path` without a leading `/` or `./`, relative to the repository's root.
    pub fn dockerfile_path(&self) -> Option<String> {
        self.dockerfile_path.map(normalise).filter(|p| !p.is_empty())
    }
}

/// `/app/`, `./app` and `app/.` become `app`; `/` and `.` become the empty text.
pub(crate) fn normalise(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

impl Job {
    /// When the job runs. Defaults to POST_DEPLOY.
    pub fn kind(&self) -> JobKind {
        match self.kind {
            None | Some(JobKind::Unspecified) => JobKind::PostDeploy,
            Some(kind) => kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_normalised_as_people_write_them() {
        for (written, wanted) in [("/", ""), (".", ""), ("./x", "x"), ("/frontend/", "frontend"), ("a//b/.", "a/b")] {
            assert_eq!(normalise(written), wanted, "{written}");
        }
    }
}
