//! The `nvring` program.

fn main() -> std::process::ExitCode {
    nvring::cli::main()
}
