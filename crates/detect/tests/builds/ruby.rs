//! Projects in Ruby. Without a source in the Gemfile, Bundler uses the gems of the base.

use crate::{SAMPLE, Sample};

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
        files: &[("Gemfile", "ruby \"~> 3.1\"\n"), ("app.rb", SOCKET)],
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
];
