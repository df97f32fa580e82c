//! Instance sizes: the CPU and memory of each slug.
//!
//! All sizes, shared and dedicated, are limits. The controller reduces them to what the host has.

use crate::suggest::{nearest, one_of};

/// The size of a component that does not give one.
pub(crate) const DEFAULT: &str = "apps-s-1vcpu-0.5gb";

/// One size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceSize {
    /// The name in specs.
    pub slug: &'static str,
    /// CPU in thousandths of a core.
    pub cpu_millis: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Whether the platform reserves the CPU for the instance.
    pub dedicated: bool,
    /// Whether the platform allows only one instance.
    pub single_instance_only: bool,
    /// Whether the size belongs to a plan that is no longer sold.
    pub deprecated: bool,
}

const GIB: u64 = 1 << 30;

const fn size(
    slug: &'static str,
    cpu_millis: u32,
    memory_bytes: u64,
    sold_as: SoldAs,
    deprecated: bool,
) -> InstanceSize {
    let dedicated = matches!(sold_as, SoldAs::Dedicated);
    let single_instance_only = matches!(sold_as, SoldAs::Single);
    InstanceSize { slug, cpu_millis, memory_bytes, dedicated, single_instance_only, deprecated }
}

enum SoldAs {
    Single,
    Shared,
    Dedicated,
}

use SoldAs::{Dedicated, Shared, Single};

const SIZES: &[InstanceSize] = &[
    size("apps-s-1vcpu-0.5gb", 1000, GIB / 2, Single, false),
    size("apps-s-1vcpu-1gb-fixed", 1000, GIB, Single, false),
    size("apps-s-1vcpu-1gb", 1000, GIB, Shared, false),
    size("apps-s-1vcpu-2gb", 1000, 2 * GIB, Shared, false),
    size("apps-s-2vcpu-4gb", 2000, 4 * GIB, Shared, false),
    size("apps-d-1vcpu-0.5gb", 1000, GIB / 2, Dedicated, false),
    size("apps-d-1vcpu-1gb", 1000, GIB, Dedicated, false),
    size("apps-d-1vcpu-2gb", 1000, 2 * GIB, Dedicated, false),
    size("apps-d-1vcpu-4gb", 1000, 4 * GIB, Dedicated, false),
    size("apps-d-2vcpu-4gb", 2000, 4 * GIB, Dedicated, false),
    size("apps-d-2vcpu-8gb", 2000, 8 * GIB, Dedicated, false),
    size("apps-d-4vcpu-8gb", 4000, 8 * GIB, Dedicated, false),
    size("apps-d-4vcpu-16gb", 4000, 16 * GIB, Dedicated, false),
    size("apps-d-8vcpu-32gb", 8000, 32 * GIB, Dedicated, false),
    size("basic-xxs", 1000, GIB / 2, Single, true),
    size("basic-xs", 1000, GIB, Single, true),
    size("basic-s", 1000, 2 * GIB, Single, true),
    size("basic-m", 2000, 4 * GIB, Single, true),
    size("professional-xs", 1000, GIB, Shared, true),
    size("professional-s", 1000, 2 * GIB, Shared, true),
    size("professional-m", 2000, 4 * GIB, Shared, true),
    size("professional-1l", 1000, 4 * GIB, Dedicated, true),
    size("professional-l", 2000, 8 * GIB, Dedicated, true),
    size("professional-xl", 4000, 16 * GIB, Dedicated, true),
];

/// Every slug, current ones first.
pub(crate) const SLUGS: [&str; SIZES.len()] = {
    let mut slugs = [""; SIZES.len()];
    let mut i = 0;
    while i < slugs.len() {
        slugs[i] = SIZES[i].slug;
        i += 1;
    }
    slugs
};

/// Every size, current ones first.
pub fn instance_sizes() -> &'static [InstanceSize] {
    SIZES
}

/// The size of a slug. `None` if there is no such size; a spec that names it is refused.
pub fn instance_size(slug: &str) -> Option<&'static InstanceSize> {
    SIZES.iter().find(|size| size.slug == slug)
}

/// The advice for an unknown slug: the nearest in spelling, else the current shared sizes.
pub(crate) fn near(slug: &str) -> String {
    if let Some(one) = nearest(slug, SIZES.iter().map(|s| s.slug)) {
        return format!("did you mean `{one}`?");
    }
    format!("for example {}", one_of(SIZES.iter().filter(|s| !s.deprecated && !s.dedicated).map(|s| s.slug)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_give_cpu_and_memory() {
        let tiny = instance_size("basic-xxs").expect("in the table");
        let default = instance_size(DEFAULT).expect("in the table");
        assert_eq!((tiny.cpu_millis, tiny.memory_bytes), (default.cpu_millis, default.memory_bytes));
        assert_eq!(default.memory_bytes, 536_870_912);
        let large = instance_size("apps-d-8vcpu-32gb").expect("in the table");
        assert_eq!((large.cpu_millis, large.memory_bytes, large.dedicated), (8000, 34_359_738_368, true));
        assert_eq!(instance_size("professional-xxl"), None);
    }

    #[test]
    fn near_slugs_are_suggested() {
        assert_eq!(near("basic_xxs"), "did you mean `basic-xxs`?");
        assert_eq!(near("apps-s-1vcpu-05gb"), "did you mean `apps-s-1vcpu-0.5gb`?");
        assert!(near("huge").contains("apps-s-2vcpu-4gb"));
    }
}
