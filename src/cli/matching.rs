//! `petasos match`: the hub's own matcher, for scripts and for doubts.

use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;

use clap::Args;

use super::output::{USAGE, complain, written};
use crate::mercure::public_url::PublicUrl;
use crate::mercure::selector::{MatcherType, Selector, SelectorError};

/// Prints the topics that the selector matches; exits 1 when it matches none.
#[derive(Args)]
pub(crate) struct MatchArgs {
    /// A topic selector: a topic, a URI Template (RFC 6570) or `*`; with `--exact` or
    /// `--urlpattern`, a matcher of Mercure 1.0. With `-`, reads lines `selector<TAB>topic` from
    /// standard input and prints `1` or `0` for each
    selector: String,
    /// Topics to match
    topics: Vec<String>,
    /// The selector is a matcher of the type `exact` of Mercure 1.0: a topic, or `*`
    #[arg(long, conflicts_with = "urlpattern")]
    exact: bool,
    /// The selector is a matcher of the type `urlpattern` of Mercure 1.0: a URL Pattern, or `*`
    #[arg(long)]
    urlpattern: bool,
    /// The hub's URL (`PUBLIC_URL`), against which relative patterns and topics are resolved
    #[arg(
        long,
        value_name = "URL",
        requires = "urlpattern",
        default_value = "https://hub.invalid/.well-known/mercure",
        value_parser = PublicUrl::parse
    )]
    base: PublicUrl,
}

impl MatchArgs {
    fn parse(&self, selector: &str) -> Result<Selector, SelectorError> {
        match (self.exact, self.urlpattern) {
            (true, _) => Selector::parse_matcher(MatcherType::Exact, selector, &self.base),
            (_, true) => Selector::parse_matcher(MatcherType::UrlPattern, selector, &self.base),
            (false, false) => Selector::parse(selector),
        }
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &MatchArgs) -> ExitCode {
    match (arguments.selector.as_str(), arguments.topics.as_slice()) {
        ("-", []) => written(match_lines(arguments)),
        (_, []) => {
            complain("match: expected at least one topic after the selector");
            ExitCode::from(USAGE)
        }
        (selector, topics) => match arguments.parse(selector) {
            Ok(selector) => written(match_topics(&selector, topics)),
            Err(error) => {
                complain(format_args!("match: {selector:?} is refused as a selector: {error}"));
                ExitCode::from(USAGE)
            }
        },
    }
}

fn match_topics(selector: &Selector, topics: &[String]) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let mut code = ExitCode::FAILURE;
    for topic in topics.iter().filter(|topic| selector.matches(topic)) {
        writeln!(out, "{topic}")?;
        code = ExitCode::SUCCESS;
    }
    out.flush()?;
    Ok(code)
}

fn match_lines(arguments: &MatchArgs) -> io::Result<ExitCode> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let wrong = |what: String| {
            complain(format_args!("match: line {}: {what}", number + 1));
            ExitCode::from(USAGE)
        };
        let line = match line {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                out.flush()?;
                return Ok(wrong("expected UTF-8".to_owned()));
            }
            line => line?,
        };
        let Some((selector, topic)) = line.split_once('\t') else {
            out.flush()?;
            return Ok(wrong("expected selector<TAB>topic".to_owned()));
        };
        match arguments.parse(selector) {
            Ok(selector) => writeln!(out, "{}", u8::from(selector.matches(topic)))?,
            Err(error) => {
                out.flush()?;
                return Ok(wrong(format!("{selector:?} is refused as a selector: {error}")));
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
