//! What the choice of a Dockerfile and the detection of a language read in an app spec.

use app_spec::{AppSpec, Component, Facts};
use builder::Hints;
use detect::Kind;
use rollout::sources::{BuildVariables, build_variables};
use source::Selection;

/// What to look at in a source to choose how a component is built, without a deployment. `None`: it is not built. Errors: a
/// path in the spec is not valid.
pub(crate) fn build_choice(spec: &AppSpec, component: Component<'_>) -> Result<Option<(Selection, Hints)>, String> {
    // The caches of an app that people name are named after it.
    let variables = build_variables(spec, &component.name().into(), &Facts::default());
    let hints = build_hints(spec, component, &variables, &spec.name);
    let Some((build, hints)) = component.build_fields().zip(hints) else { return Ok(None) };
    let selection = Selection::parse(Some(&build.source_dir()), build.dockerfile_path().as_deref());
    Ok(Some((selection.map_err(|error| error.to_string())?, hints)))
}

/// The hints of a component. `variables`: those of its build. `cache_scope`: begins the ids of its cache mounts. `None`: it is not built.
pub(crate) fn build_hints(
    spec: &AppSpec,
    component: Component<'_>,
    variables: &BuildVariables,
    cache_scope: &str,
) -> Option<Hints> {
    let build = component.build_fields()?;
    let kind = match component {
        Component::Service(_) => Kind::Service,
        Component::Worker(_) => Kind::Worker,
        Component::Job(_) => Kind::Job,
        Component::StaticSite(_) | Component::Function(_) => Kind::StaticSite,
    };
    let given = |text: Option<&str>| text.filter(|it| !it.trim().is_empty()).map(str::to_owned);
    Some(Hints {
        app: spec.name.clone(),
        component: component.name().to_owned(),
        kind,
        slug: given(build.environment_slug),
        build_command: given(build.build_command),
        run_command: given(build.run_command),
        output_dir: given(build.output_dir),
        build_args: variables.args.keys().cloned().collect(),
        build_secrets: variables.secrets.keys().cloned().collect(),
        cache_scope: cache_scope.to_owned(),
    })
}
