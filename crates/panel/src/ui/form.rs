//! Forms and their fields.

use maud::{Markup, html};

/// A form that changes something.
#[derive(Debug, Clone, Copy)]
pub struct Form<'a> {
    /// Where it is sent by POST.
    pub action: &'a str,
    /// The session's CSRF token.
    pub csrf: &'a str,
    /// Address of what the current choice means, and the id of the element that shows it. When a field changes, the
    /// script fetches the address with the form's fields, and replaces the element by that of the answer.
    pub preview: Option<(&'a str, &'a str)>,
}

impl Form<'_> {
    pub fn markup(&self, content: Markup) -> Markup {
        let preview = self.preview;
        html! {
            form method="post" action=(self.action) data-preview=[preview.map(|it| it.0)] data-shows=[preview.map(|it| it.1)] {
                input type="hidden" name="csrf" value=(self.csrf);
                (content)
            }
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Field<'a> {
    /// Name in the form, and id.
    pub name: &'a str,
    pub label: &'a str,
    /// What belongs into the field, if the label does not say it.
    pub hint: &'a str,
    /// Why the value was refused.
    pub error: &'a str,
    /// The value. A secret's is never sent to the page.
    pub value: &'a str,
    pub input: Input<'a>,
    /// Whether the browser refuses to send the form without a value.
    pub required: bool,
}

/// What is typed into a field.
#[derive(Debug, Clone, Copy, Default)]
pub enum Input<'a> {
    /// One line.
    #[default]
    Text,
    /// One line that is not shown, and that browsers neither keep nor suggest.
    Secret,
    Number,
    Lines(usize),
    /// One of these values, each with its label.
    Choice(&'a [(&'a str, &'a str)]),
}

impl Field<'_> {
    /// The field. Hint and error are read out with it.
    pub fn markup(&self) -> Markup {
        let Field { name, value, required, .. } = *self;
        let described = match (self.hint, self.error) {
            ("", "") => None,
            (_, "") => Some(format!("{name}-hint")),
            ("", _) => Some(format!("{name}-error")),
            _ => Some(format!("{name}-error {name}-hint")),
        };
        let invalid = (!self.error.is_empty()).then_some("true");
        html! {
            div class="field" {
                label for=(name) { (self.label) }
                @match self.input {
                    Input::Lines(rows) => textarea id=(name) name=(name) rows=(rows) required[required] spellcheck="false"
                        aria-describedby=[described] aria-invalid=[invalid] { "\n" (value) },
                    Input::Choice(choices) => select id=(name) name=(name) aria-describedby=[described] aria-invalid=[invalid] {
                        @for (choice, label) in choices { option value=(choice) selected[*choice == value] { (label) } }
                    },
                    Input::Text | Input::Secret | Input::Number => input id=(name) name=(name) type=(self.input.html_type())
                        value=(value) required[required] autocomplete="off" spellcheck="false" autocapitalize="none"
                        aria-describedby=[described] aria-invalid=[invalid];,
                }
                @if !self.error.is_empty() { p class="error" id={ (name) "-error" } { (self.error) } }
                @if !self.hint.is_empty() { p class="hint" id={ (name) "-hint" } { (self.hint) } }
            }
        }
    }
}

impl Input<'_> {
    fn html_type(self) -> &'static str {
        match self {
            Input::Secret => "password",
            Input::Number => "number",
            Input::Text | Input::Lines(_) | Input::Choice(_) => "text",
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Check<'a> {
    /// Name in the form. The boxes of a list share it.
    pub name: &'a str,
    /// What the form contains if the box is checked.
    pub value: &'a str,
    pub label: &'a str,
    /// What to know about it: "2 instances", "left alone: a job".
    pub note: &'a str,
    pub checked: bool,
    pub disabled: bool,
}

impl Check<'_> {
    pub fn markup(&self) -> Markup {
        html! {
            label class="check" {
                input type="checkbox" id={ (self.name) "-" (self.value) } name=(self.name) value=(self.value)
                    checked[self.checked] disabled[self.disabled];
                span { (self.label) @if !self.note.is_empty() { " " small { (self.note) } } }
            }
        }
    }
}

/// A list of check boxes. With JavaScript, a box named `all` checks and clears the others.
pub fn checks(legend: &str, all: &str, checks: &[Check<'_>]) -> Markup {
    html! {
        fieldset class="checks" {
            legend { (legend) }
            @if !all.is_empty() { label class="check with-script" { input type="checkbox" data-all; span { (all) } } }
            @for check in checks { (check.markup()) }
        }
    }
}

/// A field for the name of what will be deleted. The script enables the form's danger buttons when it matches `name`; the
/// server has to check it too.
pub fn confirm(name: &str, error: &str) -> Markup {
    html! {
        div class="field" data-confirm=(name) {
            label for="confirm" { "Type " strong { (name) } " to confirm" }
            input id="confirm" name="confirm" required autocomplete="off" spellcheck="false" autocapitalize="none";
            @if !error.is_empty() { p class="error" role="alert" { (error) } }
        }
    }
}
