//! The extensions of PHP that a project needs beyond those of the official image.

use std::collections::BTreeSet;

use super::Composer;
use crate::dockerfile::Dockerfile;
use crate::languages::Finding;

/// Extensions that the official image contains.
const BUILT_IN: &[&str] = &[
    "core",
    "ctype",
    "curl",
    "date",
    "dom",
    "fileinfo",
    "filter",
    "ftp",
    "hash",
    "iconv",
    "json",
    "libxml",
    "mbstring",
    "mysqlnd",
    "openssl",
    "pcre",
    "pdo",
    "pdo_sqlite",
    "phar",
    "posix",
    "random",
    "readline",
    "reflection",
    "session",
    "simplexml",
    "sodium",
    "spl",
    "sqlite3",
    "standard",
    "tokenizer",
    "xml",
    "xmlreader",
    "xmlwriter",
    "zlib",
];

/// Extensions that the official image can compile, with the packages of Debian that this needs.
const COMPILED: &[(&str, &[&str])] = &[
    ("bcmath", &[]),
    ("bz2", &["libbz2-dev"]),
    ("calendar", &[]),
    ("exif", &[]),
    ("gd", &["libfreetype-dev", "libjpeg-dev", "libpng-dev", "libwebp-dev"]),
    ("gettext", &[]),
    ("gmp", &["libgmp-dev"]),
    ("intl", &["libicu-dev"]),
    ("ldap", &["libldap-dev"]),
    ("mysqli", &[]),
    ("opcache", &[]),
    ("pcntl", &[]),
    ("pdo_mysql", &[]),
    ("pdo_pgsql", &["libpq-dev"]),
    ("pgsql", &["libpq-dev"]),
    ("shmop", &[]),
    ("soap", &["libxml2-dev"]),
    ("sockets", &[]),
    ("sysvmsg", &[]),
    ("sysvsem", &[]),
    ("sysvshm", &[]),
    ("tidy", &["libtidy-dev"]),
    ("xsl", &["libxslt1-dev"]),
    ("zip", &["libzip-dev"]),
];

/// Extensions of PECL, likewise.
const PECL: &[(&str, &[&str])] = &[
    ("apcu", &[]),
    ("igbinary", &[]),
    ("imagick", &["libmagickwand-dev"]),
    ("memcached", &["libmemcached-dev", "zlib1g-dev"]),
    ("mongodb", &["libssl-dev"]),
    ("redis", &[]),
];

/// For every project: App Platform's databases, and the cache of compiled code.
const ALWAYS: &[&str] = &["mysqli", "opcache", "pdo_mysql", "pdo_pgsql", "pgsql"];
/// For Laravel, whose queues and numbers use them without a requirement.
const LARAVEL: &[&str] = &["bcmath", "pcntl", "zip"];

#[derive(Debug, Default)]
pub(super) struct Extensions {
    compiled: BTreeSet<&'static str>,
    pecl: BTreeSet<&'static str>,
    packages: BTreeSet<&'static str>,
    /// Required, but in none of the tables.
    unknown: BTreeSet<String>,
}

pub(super) fn wanted(composer: &Composer) -> Extensions {
    let required = composer.requirements().filter_map(|(name, _)| name.strip_prefix("ext-"));
    let required = required.map(|it| it.to_ascii_lowercase().replace("zend-opcache", "opcache"));
    let laravel = if composer.uses("laravel/framework") { LARAVEL } else { &[] };
    let mut extensions = Extensions::default();
    for name in ALWAYS.iter().chain(laravel).map(|it| (*it).to_owned()).chain(required) {
        let find = |table: &'static [(&str, &[&str])]| table.iter().find(|(known, _)| *known == name);
        if let Some((known, packages)) = find(COMPILED) {
            extensions.compiled.insert(known);
            extensions.packages.extend(*packages);
        } else if let Some((known, packages)) = find(PECL) {
            extensions.pecl.insert(known);
            extensions.packages.extend(*packages);
        } else if !BUILT_IN.contains(&&*name) {
            extensions.unknown.insert(name);
        }
    }
    extensions
}

impl Extensions {
    pub fn findings(&self) -> Vec<Finding> {
        let all = self.compiled.iter().chain(&self.pecl).copied().collect::<Vec<_>>().join(", ");
        let mut findings =
            vec![Finding::new(format!("extensions {all}"), "composer.json, composer.lock and databases")];
        let unknown = self.unknown.iter();
        findings.extend(
            unknown.map(|name| {
                Finding::new(format!("extension {name} is not installed"), "it is unknown; use a Dockerfile")
            }),
        );
        findings
    }

    /// Installs those that the image does not contain yet.
    pub fn install(&self, dockerfile: &mut Dockerfile<'_>) {
        dockerfile.comment("The extensions of PHP that the image does not contain yet.");
        let packages = self.packages.iter().copied().collect::<Vec<_>>().join(" ");
        let list = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(" ");
        let missing = |names: String| format!("$(for it in {names}; do php -m | grep -qiw $it || echo $it; done)");
        let gd = if self.compiled.contains("gd") {
            "\\\n        docker-php-ext-configure gd --with-freetype --with-jpeg --with-webp && "
        } else {
            ""
        };
        dockerfile.line(&format!(
            "RUN missing=\"{}\" && if [ -n \"$missing\" ]; then \\\n        \
             apt-get update && apt-get install --yes --no-install-recommends {packages} && {gd}\\\n        \
             docker-php-ext-install -j \"$(nproc)\" $missing && rm -rf /var/lib/apt/lists/*; fi",
            missing(list(&self.compiled))
        ));
        if !self.pecl.is_empty() {
            dockerfile.line(&format!(
                "RUN missing=\"{}\" && if [ -n \"$missing\" ]; then \\\n        \
                 apt-get update && apt-get install --yes --no-install-recommends {packages} && \\\n        \
                 pecl install $missing && docker-php-ext-enable $missing && rm -rf /var/lib/apt/lists/*; fi",
                missing(list(&self.pecl))
            ));
        }
    }
}
