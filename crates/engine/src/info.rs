//! Which engines Boatyard cannot use, and why. Pure: reads only an [`EngineInfo`].

use crate::port::EngineInfo;

/// Oldest supported API version: Docker Engine 20.10.
const OLDEST_API: (u32, u32) = (1, 41);

/// See [`EngineInfo::refusal`].
pub(crate) fn refusal(info: &EngineInfo) -> Option<String> {
    match parse_api(&info.api_version) {
        Some(version) if version >= OLDEST_API => None,
        Some(_) => Some(format!(
            "this engine ({}) speaks API {}; Boatyard needs {}.{} or newer: upgrade to Docker Engine 20.10 or later",
            info.version, info.api_version, OLDEST_API.0, OLDEST_API.1
        )),
        None => Some(format!(
            "this engine ({}) reports the API version {:?}, which is not a version number: check what listens on the socket",
            info.version, info.api_version
        )),
    }
}

fn parse_api(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::SupportedLimits;

    fn good() -> EngineInfo {
        EngineInfo {
            version: "20.10.24".into(),
            api_version: "1.41".into(),
            cpus: 2,
            memory_bytes: 4 << 30,
            rootless: false,
            desktop: false,
            limits: SupportedLimits::ALL,
            live_restore: false,
            operating_system: "Debian".into(),
            data_root: "/var/lib/docker".into(),
        }
    }

    #[test]
    fn an_engine_from_20_10_on_is_accepted_wherever_it_runs() {
        assert_eq!(good().refusal(), None);
        assert_eq!(EngineInfo { rootless: true, ..good() }.refusal(), None);
        assert_eq!(EngineInfo { desktop: true, ..good() }.refusal(), None);
        assert_eq!(EngineInfo { api_version: "1.51".into(), ..good() }.refusal(), None);
        assert_eq!(EngineInfo { api_version: "2.0".into(), ..good() }.refusal(), None);
    }

    #[test]
    fn the_limits_that_an_engine_cannot_apply_have_names() {
        assert!(SupportedLimits::ALL.missing().is_empty());
        let none = SupportedLimits { cpu: false, memory: false, processes: false };
        assert_eq!(none.missing(), ["CPU", "memory", "processes"]);
    }

    #[test]
    fn each_refusal_names_its_reason_and_the_next_action() {
        let cases = [
            (EngineInfo { api_version: "1.40".into(), ..good() }, "1.40", "upgrade"),
            (EngineInfo { api_version: "1.9".into(), ..good() }, "1.9", "upgrade"),
            (EngineInfo { api_version: "newest".into(), ..good() }, "newest", "check"),
        ];
        for (info, reason, next) in cases {
            let text = info.refusal().expect("this engine cannot serve");
            assert!(text.contains(reason) && text.contains(next), "{text}");
        }
    }
}
