//! Projects in Ruby. Without a source in the Gemfile, Bundler uses the gems of the base.

use crate::{Registry, SAMPLE, Sample};

const RUBYGEMS: Registry = Registry {
    name: "RubyGems",
    base: "boatyard-local/base-ruby:3.1",
    command: "gem list --remote --exact rack | grep rack",
};

const SOCKET: &str = r#"
require "socket"
trap("TERM") { exit }
server = TCPServer.new("0.0.0.0", ENV.fetch("PORT"))
loop do
  client = server.accept
  client.readpartial(1024)
  client.write("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhello 1")
  client.close
end
"#;

pub const SAMPLES: &[Sample] = &[
    Sample {
        name: "Ruby",
        files: &[("Gemfile", "ruby \"~> 3.1.0\"\n"), ("app.rb", SOCKET)],
        changes: "app.rb",
        ..SAMPLE
    },
    Sample {
        name: "Rack",
        files: &[
            ("Gemfile", "ruby \">= 3.0\", \"< 3.2\"\ngem \"puma\"\n"),
            ("config.ru", "run ->(_) { [200, {\"content-type\" => \"text/plain\"}, [\"hello 1\"]] }\n"),
        ],
        changes: "config.ru",
        ..SAMPLE
    },
    Sample {
        name: "Rails",
        files: &[
            (
                "Gemfile",
                r#"ruby "~> 3.1.0"
gem "rails"
gem "puma"
gem "sprockets-rails"
gem "execjs"
"#,
            ),
            (
                "Rakefile",
                r#"require_relative "config/application"
Rails.application.load_tasks
"#,
            ),
            ("app/assets/config/manifest.js", "//= link application.css\n"),
            ("app/assets/stylesheets/application.css", "p { color: red }\n"),
            (
                "app/controllers/pages_controller.rb",
                r#"class PagesController < ActionController::Base
  def show
    render inline: "<%= stylesheet_link_tag 'application' %>hello 1, #{ExecJS.eval('20 + 1')}"
  end
end
"#,
            ),
            (
                "bin/rails",
                r#"#!/usr/bin/env ruby
APP_PATH = File.expand_path("../config/application", __dir__)
require "rails/commands"
"#,
            ),
            (
                "config.ru",
                r#"require_relative "config/environment"
run Rails.application
"#,
            ),
            (
                "config/application.rb",
                r#"require "logger"
require "rails"
require "action_controller/railtie"
require "sprockets/railtie"
Bundler.require(*Rails.groups)
class App < Rails::Application
  config.load_defaults 6.1
  config.eager_load = true
  config.hosts.clear
  config.secret_key_base = ENV.fetch("SECRET_KEY_BASE", "x")
  config.assets.js_compressor = nil
  config.public_file_server.enabled = true
  routes.append { root to: "pages#show" }
end
"#,
            ),
            (
                "config/environment.rb",
                r#"require_relative "application"
Rails.application.initialize!
"#,
            ),
        ],
        changes: "app/controllers/pages_controller.rb",
        // Node.js is copied from this base, and the one of Ruby has it too: Debian's is not below /usr/local.
        bases: &["node=boatyard-local/base-node:18"],
        ..SAMPLE
    },
    Sample {
        name: "Sinatra",
        files: &[
            (
                "Gemfile",
                "source \"https://rubygems.org\"\nruby \"~> 3.1.0\"\ngem \"sinatra\", \"~> 3.0\"\ngem \"webrick\"\n",
            ),
            ("app.rb", "require \"sinatra\"\nget(\"/\") { \"hello 1\" }\n"),
        ],
        changes: "app.rb",
        needs: Some(RUBYGEMS),
        ..SAMPLE
    },
];
