//! Health checks, termination, autoscaling.

use crate::value::form;
use crate::value::object;
use crate::value::rule::{ANY, PORT, range};

object! {
    /// When an instance of a service is ready. The methods give the defaults of the reference (1.3.5).
    "a health check" struct HealthCheck {
        /// Asked with GET; absent: a TCP connect is enough.
        http_path: Option<String> = ANY.of_form(form::request_target),
        /// Absent: the service's port.
        port: Option<u16> = PORT,
        /// Before the first check; failures in it do not count.
        initial_delay_seconds: Option<u32> = range(0, 3600),
        /// Between checks.
        period_seconds: Option<u32> = range(1, 300).or_number(10),
        /// Of one check.
        timeout_seconds: Option<u32> = range(1, 120).or_number(1),
        /// Passes in a row until it is healthy.
        success_threshold: Option<u32> = range(1, 50).or_number(1),
        /// Failures in a row until it is not.
        failure_threshold: Option<u32> = range(1, 50).or_number(9),
        /// Deprecated name of `http_path`.
        path: Option<String> = ANY.of_form(form::request_target),
    }
}

object! {
    /// When a running instance must be restarted. Without one, nothing is checked.
    "a liveness check" struct LivenessHealthCheck {
        /// Asked with GET; absent: a TCP connect is enough.
        http_path: Option<String> = ANY.of_form(form::request_target),
        /// Absent: the service's port. A worker must name one.
        port: Option<u16> = PORT,
        /// Before the first check; 5 by default.
        initial_delay_seconds: Option<u32> = range(0, 3600).or_number(5),
        /// Between checks; 10 by default.
        period_seconds: Option<u32> = range(1, 300).or_number(10),
        /// Of one check; 1 by default.
        timeout_seconds: Option<u32> = range(1, 120).or_number(1),
        /// Always 1.
        success_threshold: Option<u32> = range(1, 1).or_number(1),
        /// Failures in a row until it is restarted; 18 by default.
        failure_threshold: Option<u32> = range(1, 50).or_number(18),
    }
}

object! {
    /// How an instance of a service is stopped. Absent numbers stay absent: the controller has defaults of its own.
    "termination of a service" struct ServiceTermination {
        /// From the last route to TERM; open requests end in it.
        drain_seconds: Option<u32> = range(1, 110),
        /// From TERM to KILL.
        grace_period_seconds: Option<u32> = range(1, 600),
    }
}

object! {
    /// How a worker or a job is stopped.
    "termination" struct Termination {
        /// From TERM to KILL.
        grace_period_seconds: Option<u32> = range(1, 600),
    }
}

object! {
    /// Instances by load.
    "autoscaling" struct Autoscaling {
        /// Never fewer.
        min_instance_count: Option<u32> = range(1, 250).required(),
        /// Never more.
        max_instance_count: Option<u32> = range(1, 250).required(),
        /// What decides.
        metrics: Option<AutoscalingMetrics> = ANY.required(),
    }
}

object! {
    /// What autoscaling watches.
    "metrics of autoscaling" struct AutoscalingMetrics {
        /// CPU in use.
        cpu: Option<AutoscalingCpu> = ANY,
        /// Requests; services only.
        requests_per_second: Option<AutoscalingRequestRate> = ANY,
        /// Time of requests; services only.
        request_duration: Option<AutoscalingRequestDuration> = ANY,
    }
}

object! {
    /// CPU in use.
    "the CPU metric" struct AutoscalingCpu {
        /// Mean over all instances, in percent.
        percent: Option<u32> = range(1, 100).or_number(80),
    }
}

object! {
    /// Requests per second.
    "the request metric" struct AutoscalingRequestRate {
        /// Of one instance.
        per_instance: Option<u32> = range(1, i64::MAX),
    }
}

object! {
    /// Time that requests take.
    "the duration metric" struct AutoscalingRequestDuration {
        /// 95th percentile, in milliseconds.
        p95_milliseconds: Option<u32> = range(1, i64::MAX),
    }
}

impl HealthCheck {
    /// The path to GET, under either of its names; `None`: a TCP connect.
    pub fn http_path(&self) -> Option<&str> {
        self.http_path.as_deref().or(self.path.as_deref())
    }

    /// 0 by default.
    pub fn initial_delay_seconds(&self) -> u32 {
        self.initial_delay_seconds.unwrap_or(0)
    }

    /// 10 by default.
    pub fn period_seconds(&self) -> u32 {
        self.period_seconds.unwrap_or(10)
    }

    /// 1 by default.
    pub fn timeout_seconds(&self) -> u32 {
        self.timeout_seconds.unwrap_or(1)
    }

    /// 1 by default.
    pub fn success_threshold(&self) -> u32 {
        self.success_threshold.unwrap_or(1)
    }

    /// 9 by default.
    pub fn failure_threshold(&self) -> u32 {
        self.failure_threshold.unwrap_or(9)
    }
}
