//! Forms of time: durations, cron expressions, time zones.

use super::check;
use crate::diagnostic::Code;
use crate::suggest::shown;
use crate::value::rule::Complaint;

/// See [`duration`].
pub(crate) const DURATION: &str = "^([0-9][0-9.]*(ns|us|µs|ms|s|m|h))+$";

/// Numbers with units, as in `1h30m` or `90s`.
pub(crate) fn duration(text: &str) -> Result<(), Complaint> {
    check(is_duration(text), Code::BadFormat, text, "is not a duration such as `1h30m` or `90s`").map_err(|complaint| {
        let seconds = format!("{text}s");
        if is_duration(&seconds) { complaint.meant(seconds) } else { complaint }
    })
}

fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number = &rest[..digits];
        let unit = ["ns", "us", "µs", "ms", "s", "m", "h"].into_iter().find(|unit| {
            let after = rest[digits..].strip_prefix(unit);
            after.is_some_and(|after| after.is_empty() || after.starts_with(|c: char| c.is_ascii_digit()))
        });
        let is_number = number.parse::<f64>().is_ok() && number.starts_with(|c: char| c.is_ascii_digit());
        match unit {
            Some(unit) if is_number => rest = &rest[digits + unit.len()..],
            _ => return false,
        }
    }
    !text.is_empty()
}

/// The length of a [`duration`] in whole seconds, rounded down. Zero if the text is not a duration.
pub(crate) fn seconds(text: &str) -> u64 {
    let (mut rest, mut nanoseconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |length| digits + length);
        let factor = match &rest[digits..unit] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return 0,
        };
        nanoseconds += rest[..digits].parse::<f64>().unwrap_or_default() * factor;
        rest = &rest[unit..];
    }
    std::time::Duration::try_from_secs_f64(nanoseconds / 1e9).map_or(u64::MAX, |it| it.as_secs())
}

/// The five fields of a cron expression, with the range and the names of each.
const CRON: [(&str, u8, u8, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day", 1, 31, &[]),
    ("month", 1, 12, &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]),
    ("weekday", 0, 7, &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]),
];

/// A cron expression of five fields: minute, hour, day, month, weekday.
pub(crate) fn cron(text: &str) -> Result<(), Complaint> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let fault = "is not a cron expression";
    check(fields.len() == CRON.len(), Code::BadFormat, text, fault).map_err(|complaint| {
        complaint.help("five fields: minute, hour, day of the month, month, day of the week, as in `30 4 * * 1-5`")
    })?;
    for (field, (name, least, most, names)) in fields.into_iter().zip(CRON) {
        let is_field = field.split(',').all(|part| is_cron_part(part, least, most, names));
        check(is_field, Code::BadFormat, text, fault)
            .map_err(|it| it.help(format!("`{}` is not a valid {name} ({least} to {most})", shown(field))))?;
    }
    Ok(())
}

/// `*`, `5`, `1-5` or `MON-FRI`, each with an optional `/step`.
fn is_cron_part(part: &str, least: u8, most: u8, names: &[&str]) -> bool {
    let (span, step) = part.split_once('/').map_or((part, None), |(span, step)| (span, Some(step)));
    let number = |text: &str| match names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
        Some(index) => u8::try_from(index).ok().map(|index| index + least),
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        None => None,
    };
    let within = |text: &str| number(text).filter(|n| (least..=most).contains(n));
    let good_span = match span.split_once('-') {
        Some((from, to)) => matches!((within(from), within(to)), (Some(from), Some(to)) if from <= to),
        None => span == "*" || within(span).is_some(),
    };
    // A step is a number, never a name.
    let count = |text: &str| if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None };
    let good_step = step.is_none_or(|step| count(step).is_some_and(|n: u8| (1..=most).contains(&n)));
    good_span && good_step
}

/// A name from the time zone database, such as `Europe/Berlin` or `UTC`. Does not check whether the zone exists; that
/// happens when the job is scheduled.
pub(crate) fn time_zone(text: &str) -> Result<(), Complaint> {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "_-+".contains(c);
    let is_part = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.chars().all(is_inner);
    check(text.split('/').all(is_part), Code::BadFormat, text, "is not the name of a time zone")
        .map_err(|complaint| complaint.help("for example `Europe/Berlin` or `UTC`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::form::tests::refusal;

    #[test]
    fn durations_are_numbers_with_units() {
        for good in ["1h30m", "90s", "5h30m0s", "1.5h", "250ms", "0s", "1m1ms"] {
            assert!(duration(good).is_ok(), "{good}");
        }
        for bad in ["", "h", "1", "1 h", "1d", "-1s", "1h30", ".5h", "1..2s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(refusal(duration("86400")).1.as_deref(), Some("did you mean `86400s`?"));
    }

    #[test]
    fn durations_have_a_length_in_seconds() {
        let table = [
            ("1h30m", 5400),
            ("90s", 90),
            ("1.5h", 5400),
            ("1m1999ms", 61),
            ("250ms", 0),
            ("0s", 0),
            ("1d", 0),
            ("", 0),
        ];
        for (text, wanted) in table {
            assert_eq!(seconds(text), wanted, "{text}");
        }
        assert_eq!(seconds(&format!("{}h", "9".repeat(300))), u64::MAX);
    }

    #[test]
    fn a_cron_expression_has_five_fields_within_their_limits() {
        for good in ["0 8 * * *", "*/5 * * * *", "30 4 1,15 * 1-5", "0 0 * JAN-mar SUN", "0-30/10 0 * * 7"] {
            assert!(cron(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "@daily",
            "* * * *",
            "0 0 * * * *",
            "60 * * * *",
            "* 5-2 * * *",
            "* * 0 * *",
            "*/0 * * * *",
            "a * * * *",
            "0 0 * */FEB *",
        ] {
            assert!(cron(bad).is_err(), "{bad}");
        }
        assert_eq!(refusal(cron("0 24 * * *")).1.as_deref(), Some("`24` is not a valid hour (0 to 23)"));
    }

    #[test]
    fn a_time_zone_is_a_name_and_not_an_offset() {
        for good in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert!(time_zone(good).is_ok(), "{good}");
        }
        for bad in ["", "+02:00", "Europe/", "my zone"] {
            assert!(time_zone(bad).is_err(), "{bad}");
        }
    }
}
