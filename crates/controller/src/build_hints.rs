//! What the detection of a language reads in an app spec.

use std::collections::BTreeMap;

use app_spec::{AppSpec, Component};
use builder::Hints;
use detect::Kind;

/// The hints of a component. `args`: its build arguments. `cache_scope`: begins the ids of its cache mounts. `None`: it is not built.
pub(crate) fn build_hints(
    spec: &AppSpec,
    component: Component<'_>,
    args: &BTreeMap<String, String>,
    cache_scope: &str,
) -> Option<Hints> {
    let common = component.common()?;
    let kind = match component {
        Component::Service(_) => Kind::Service,
        Component::Worker(_) => Kind::Worker,
        Component::Job(_) => Kind::Job,
        Component::StaticSite(_) | Component::Function(_) => Kind::StaticSite,
    };
    let given = |text: &Option<String>| text.clone().filter(|it| !it.trim().is_empty());
    Some(Hints {
        app: spec.name.clone(),
        component: component.name().to_owned(),
        kind,
        slug: given(&common.environment_slug),
        build_command: given(&common.build_command),
        run_command: given(&common.run_command),
        output_dir: None,
        build_args: args.keys().cloned().collect(),
        cache_scope: cache_scope.to_owned(),
    })
}
