//! Health checks, termination, autoscaling.

use crate::value::form;
use crate::value::object;
use crate::value::rule::{ANY, PORT, range};

object! {
    /// When an instance of a service is ready. The methods return App Platform's defaults.
    "a health check" struct HealthCheck {
        /// The path for a GET request. Absent: a TCP connection is enough.
        http_path: Option<String> = ANY.of_form(form::request_target),
        /// Absent: the service's port.
        port: Option<u16> = PORT,
        /// Seconds before the first check. Failures in this time do not count.
        initial_delay_seconds: Option<u32> = range(0, 3600),
        /// Seconds between checks.
        period_seconds: Option<u32> = range(1, 300).or_number(10),
        /// Time limit of one check in seconds.
        timeout_seconds: Option<u32> = range(1, 120).or_number(1),
        /// Passes in a row until the instance counts as healthy.
        success_threshold: Option<u32> = range(1, 50).or_number(1),
        /// Failures in a row until the instance counts as unhealthy.
        failure_threshold: Option<u32> = range(1, 50).or_number(9),
        /// Deprecated name of `http_path`.
        path: Option<String> = ANY.of_form(form::request_target),
    }
}

object! {
    /// When to restart a running instance. Absent: running instances are not checked.
    "a liveness check" struct LivenessHealthCheck {
        /// The path for a GET request. Absent: a TCP connection is enough.
        http_path: Option<String> = ANY.of_form(form::request_target),
        /// Absent: the service's port. A worker must name one.
        port: Option<u16> = PORT,
        /// Seconds before the first check. Defaults to 5.
        initial_delay_seconds: Option<u32> = range(0, 3600).or_number(5),
        /// Seconds between checks. Defaults to 10.
        period_seconds: Option<u32> = range(1, 300).or_number(10),
        /// Time limit of one check in seconds. Defaults to 1.
        timeout_seconds: Option<u32> = range(1, 120).or_number(1),
        /// Always 1.
        success_threshold: Option<u32> = range(1, 1).or_number(1),
        /// Failures in a row until the instance is restarted. Defaults to 18.
        failure_threshold: Option<u32> = range(1, 50).or_number(18),
    }
}

object! {
    /// How to stop an instance of a service. Absent numbers stay absent, because the controller sets the defaults.
    "termination of a service" struct ServiceTermination {
        /// Seconds between the removal of the last route and SIGTERM, in which open requests can finish.
        drain_seconds: Option<u32> = range(1, 110),
        /// Seconds between SIGTERM and SIGKILL.
        grace_period_seconds: Option<u32> = range(1, 600),
    }
}

object! {
    /// How to stop an instance of a worker or a job.
    "termination" struct Termination {
        /// Seconds between SIGTERM and SIGKILL.
        grace_period_seconds: Option<u32> = range(1, 600),
    }
}

object! {
    /// Scales the number of instances with the load.
    "autoscaling" struct Autoscaling {
        /// The lowest number of instances.
        min_instance_count: Option<u32> = range(1, 250).required(),
        /// The highest number of instances.
        max_instance_count: Option<u32> = range(1, 250).required(),
        /// The metrics that decide.
        metrics: Option<AutoscalingMetrics> = ANY.required(),
    }
}

object! {
    /// The metrics that autoscaling uses.
    "the metrics object" struct AutoscalingMetrics {
        /// CPU use.
        cpu: Option<AutoscalingCpu> = ANY,
        /// Request rate, for services only.
        requests_per_second: Option<AutoscalingRequestRate> = ANY,
        /// Request duration, for services only.
        request_duration: Option<AutoscalingRequestDuration> = ANY,
    }
}

object! {
    /// CPU use.
    "the CPU metric" struct AutoscalingCpu {
        /// Average over all instances, in percent.
        percent: Option<u32> = range(1, 100).or_number(80),
    }
}

object! {
    /// Requests per second.
    "the request metric" struct AutoscalingRequestRate {
        /// Requests per second of one instance.
        per_instance: Option<u32> = range(1, i64::MAX),
    }
}

object! {
    /// Request duration.
    "the duration metric" struct AutoscalingRequestDuration {
        /// 95th percentile, in milliseconds.
        p95_milliseconds: Option<u32> = range(1, i64::MAX),
    }
}

impl HealthCheck {
    /// The path for a GET request, from either field. `None` for a TCP connection.
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
