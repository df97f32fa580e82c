//! The program inside these tests' images; the tests compile it statically. As `/bin/sh` it also runs RUN lines: one
//! command per line, with its words split at blanks.

use std::io::Write;
use std::time::Duration;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<String> = match args.split_first() {
        Some((flag, rest)) if flag == "-c" => rest.join(" ").split(' ').map(String::from).collect(),
        _ => args,
    };
    let rest = words.get(1..).unwrap_or_default().join(" ");
    match words.first().map(String::as_str) {
        Some("say") => println!("{rest}"),
        Some("warn") => eprintln!("{rest}"),
        Some("exit") => std::process::exit(rest.parse().expect("a number")),
        Some("env") => println!("{:?}", std::env::var(&rest)),
        Some("args") => println!("{rest}"),
        Some("read") => println!("{}", std::fs::read_to_string(&rest).unwrap_or_else(|error| error.kind().to_string())),
        Some("long") => println!("{}", "x".repeat(100 * 1024)),
        // Allocates memory and writes to it until it is killed.
        Some("hog") => {
            let mut held = Vec::new();
            loop {
                held.push(vec![1_u8; 8 << 20]);
                println!("{} MiB", held.len() * 8);
            }
        }
        Some("raw") => std::io::stdout().write_all(b"a\xffb\nhalf").expect("stdout takes it"),
        Some("fail") => {
            eprintln!("this step fails on purpose");
            std::process::exit(3);
        }
        _ => {
            println!("serving");
            std::thread::sleep(Duration::from_secs(600));
        }
    }
}
