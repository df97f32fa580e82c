//! What belongs to the platform around an app: domains, alerts, log destinations, networks, maintenance.

use crate::secret::SecretValue;
use crate::wire::form;
use crate::wire::rule::ANY;
use crate::wire::{object, words};

object! {
    /// A further host name of the app.
    "a domain" struct Domain labelled domain {
        /// The host name.
        domain: String = ANY.required().of_form(form::domain).like(form::DOMAIN),
        /// At most one is PRIMARY.
        kind as "type": Option<DomainKind> = ANY,
        /// All sub-domains too.
        wildcard: bool = ANY,
        /// A DNS zone that the platform should manage.
        zone: Option<String> = ANY,
        /// `1.2` or `1.3`.
        minimum_tls_version: Option<String> = ANY.of_form(form::tls_version).one_of(&form::TLS_VERSIONS),
        /// A certificate of the account.
        certificate: Option<String> = ANY,
    }
}

words! {
    /// What a domain is for.
    enum DomainKind {
        /// Not said.
        Unspecified = "UNSPECIFIED",
        /// The platform's own.
        Default = "DEFAULT",
        /// The one shown to people, and in `APP_URL`.
        Primary = "PRIMARY",
        /// Another one.
        Alias = "ALIAS",
    }
}

object! {
    /// A condition under which someone is told.
    "an alert" struct Alert {
        /// What is watched.
        rule: Option<AlertRule> = ANY,
        /// Keep the rule, tell nobody.
        disabled: bool = ANY,
        /// How `value` is compared.
        operator: Option<AlertOperator> = ANY,
        /// The threshold.
        value: Option<f64> = ANY,
        /// Over how long.
        window: Option<AlertWindow> = ANY,
    }
}

words! {
    /// What an alert watches.
    enum AlertRule {
        /// Not said.
        Unspecified = "UNSPECIFIED_RULE",
        /// A deployment failed.
        DeploymentFailed = "DEPLOYMENT_FAILED",
        /// A deployment serves.
        DeploymentLive = "DEPLOYMENT_LIVE",
        /// A deployment began.
        DeploymentStarted = "DEPLOYMENT_STARTED",
        /// A deployment was canceled.
        DeploymentCanceled = "DEPLOYMENT_CANCELED",
        /// A domain could not be set up.
        DomainFailed = "DOMAIN_FAILED",
        /// A domain serves.
        DomainLive = "DOMAIN_LIVE",
        /// Autoscaling failed.
        AutoscaleFailed = "AUTOSCALE_FAILED",
        /// Autoscaling succeeded.
        AutoscaleSucceeded = "AUTOSCALE_SUCCEEDED",
        /// CPU in use, percent.
        CpuUtilization = "CPU_UTILIZATION",
        /// Memory in use, percent.
        MemUtilization = "MEM_UTILIZATION",
        /// Restarts of instances.
        RestartCount = "RESTART_COUNT",
        /// Requests per second.
        RequestsPerSecond = "REQUESTS_PER_SECOND",
        /// 95th percentile of request times, milliseconds.
        RequestDurationP95 = "REQUEST_DURATION_P95_MS",
        /// A run of a scheduled job failed.
        JobInvocationFailed = "JOB_INVOCATION_FAILED",
        /// Functions: activations.
        FunctionsActivationCount = "FUNCTIONS_ACTIVATION_COUNT",
        /// Functions: mean duration.
        FunctionsAverageDuration = "FUNCTIONS_AVERAGE_DURATION_MS",
        /// Functions: errors per minute.
        FunctionsErrorRate = "FUNCTIONS_ERROR_RATE_PER_MINUTE",
        /// Functions: mean wait.
        FunctionsAverageWaitTime = "FUNCTIONS_AVERAGE_WAIT_TIME_MS",
        /// Functions: errors.
        FunctionsErrorCount = "FUNCTIONS_ERROR_COUNT",
        /// Functions: memory over time.
        FunctionsGbRate = "FUNCTIONS_GB_RATE_PER_SECOND",
    }
}

words! {
    /// How an alert compares.
    enum AlertOperator {
        /// Not said.
        Unspecified = "UNSPECIFIED_OPERATOR",
        /// More than the value.
        GreaterThan = "GREATER_THAN",
        /// Less than the value.
        LessThan = "LESS_THAN",
    }
}

words! {
    /// Over how long an alert looks.
    enum AlertWindow {
        /// Not said.
        Unspecified = "UNSPECIFIED_WINDOW",
        /// 5 minutes.
        FiveMinutes = "FIVE_MINUTES",
        /// 10 minutes.
        TenMinutes = "TEN_MINUTES",
        /// 30 minutes.
        ThirtyMinutes = "THIRTY_MINUTES",
        /// 1 hour.
        OneHour = "ONE_HOUR",
    }
}

object! {
    /// Where logs are forwarded: exactly one provider.
    "a log destination" struct LogDestination labelled name {
        /// For people: 2 to 42 characters.
        name: String = ANY.required().of_form(form::log_destination_name),
        /// Papertrail.
        papertrail: Option<PapertrailDestination> = ANY,
        /// Datadog.
        datadog: Option<DatadogDestination> = ANY,
        /// Logtail.
        logtail: Option<LogtailDestination> = ANY,
        /// OpenSearch.
        open_search: Option<OpenSearchDestination> = ANY,
        /// Old generic form: address.
        endpoint: Option<String> = ANY,
        /// Old generic form: do not check the certificate.
        tls_insecure: bool = ANY,
        /// Old generic form: headers.
        headers: Vec<LogHeader> = ANY,
    }
}

object! {
    /// Papertrail.
    "a Papertrail destination" struct PapertrailDestination {
        /// Host and port of the syslog endpoint.
        endpoint: String = ANY.required(),
    }
}

object! {
    /// Datadog.
    "a Datadog destination" struct DatadogDestination {
        /// The intake's address.
        endpoint: Option<String> = ANY.or("https://http-intake.logs.datadoghq.com"),
        /// The key.
        api_key: Option<SecretValue> = ANY.required(),
    }
}

object! {
    /// Logtail.
    "a Logtail destination" struct LogtailDestination {
        /// The token.
        token: Option<SecretValue> = ANY.required(),
    }
}

object! {
    /// OpenSearch.
    "an OpenSearch destination" struct OpenSearchDestination {
        /// `https://host:port`. Excludes `cluster_name`.
        endpoint: Option<String> = ANY,
        /// User and password, with `endpoint`.
        basic_auth: Option<BasicAuth> = ANY,
        /// `logs` by default.
        index_name: Option<String> = ANY.or("logs"),
        /// A managed cluster of the account.
        cluster_name: Option<String> = ANY,
    }
}

object! {
    /// User and password.
    "basic_auth" struct BasicAuth {
        /// The user.
        user: Option<String> = ANY,
        /// The password.
        password: Option<SecretValue> = ANY,
    }
}

object! {
    /// A header of the old generic log destination.
    "a header" struct LogHeader labelled key {
        /// Its name.
        key: String = ANY.required(),
        /// Its value: often a token.
        value: Option<SecretValue> = ANY,
    }
}

object! {
    /// The address that requests of the app come from.
    "egress" struct Egress {
        /// AUTOASSIGN by default.
        kind as "type": Option<EgressKind> = ANY.or("AUTOASSIGN"),
    }
}

words! {
    /// How outgoing addresses are given.
    enum EgressKind {
        /// Any.
        Autoassign = "AUTOASSIGN",
        /// A fixed one.
        DedicatedIp = "DEDICATED_IP",
    }
}

object! {
    /// A private network of the account.
    "vpc" struct Vpc {
        /// Its id.
        id: Option<String> = ANY,
        /// Addresses; the platform fills them in.
        egress_ips: Vec<EgressIp> = ANY,
    }
}

object! {
    /// An address.
    "an egress address" struct EgressIp {
        /// The address.
        ip: Option<String> = ANY,
    }
}

object! {
    /// Maintenance mode.
    "maintenance" struct Maintenance {
        /// Show a page in place of the app.
        enabled: bool = ANY,
        /// Stop the app as well.
        archive: bool = ANY,
        /// A page of one's own.
        offline_page_url: Option<String> = ANY,
    }
}
