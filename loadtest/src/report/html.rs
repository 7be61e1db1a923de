//! One self-contained HTML page: tables, and plots as inline SVG. It can be read on a phone, and
//! has a dark colour scheme.

use std::fmt::Write as _;

use super::charts;
use super::figures::{lines, ratio_text, shown};
use super::plot::{COLOURS, Plot, Series, svg};
use super::rows::{arguments, ratio_meaning, servers, verdict};
use crate::error_text::chain;
use crate::record::Row;
use crate::rounds::Rounds;
use crate::scenario::Scenario;

/// Two sets of colours, for a light and a dark background. Those of the lines are distinguishable
/// with a colour vision deficiency, and from the background.
const COLOUR_STYLE: &str = ":root{color-scheme:light dark;--ink:#1b1b1b;--paper:#fff;--rule:#ddd;--bad:#b00020;--good:#006b3c;\
    --c0:#0072b2;--c1:#c04a00;--c2:#00785a;--c3:#a8487f;--c4:#8f6400;--c5:#5b4bb5}\
    @media(prefers-color-scheme:dark){:root{--ink:#e4e4e4;--paper:#15171a;--rule:#3c4046;--bad:#ff8a8a;--good:#62d39b;\
    --c0:#58b4f0;--c1:#ff9a5c;--c2:#3fd0a0;--c3:#eda3cc;--c4:#e8c352;--c5:#b3a8ff}}";
/// The rest of the style sheet. A table that is too wide for a phone scrolls by itself.
const STYLE: &str = "body{font:16px/1.45 system-ui,sans-serif;max-width:76rem;margin:1.5rem auto;padding:0 1rem;\
    color:var(--ink);background:var(--paper)}h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.5rem}\
    .scroll{overflow-x:auto;margin:1rem 0;white-space:nowrap}table{border-collapse:collapse}td,th{padding:.2rem .7rem;\
    border-bottom:1px solid var(--rule);text-align:right}td:first-child,th:first-child,td.l,th.l{text-align:left}\
    .rows th{font-weight:600;vertical-align:top;white-space:nowrap}.rows td{overflow-wrap:anywhere}\
    .plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:1.5rem;\
    margin:1.5rem 0}\
    figure{margin:0;max-width:34rem}figcaption{font-weight:600}figcaption small{display:block;font-weight:400}\
    svg{display:block;width:100%;height:auto}.ink{fill:var(--ink)}.grid{stroke:var(--rule)}\
    .legend{margin:.3rem 0 0;font-size:.9rem}.legend span{display:inline-block;margin-right:1.2rem}\
    .legend i{display:inline-block;width:1.8rem;margin-right:.4rem;vertical-align:middle;border-top-width:3px;border-top-style:solid}\
    .legend .dashed{border-top-style:dashed}.bad,.good{font-weight:600}.bad{color:var(--bad)}.good{color:var(--good)}\
    @media(max-width:40rem){.rows th,.rows td{display:block;padding:.1rem 0}.rows th{border:0;padding-top:.5rem}\
    td,th{padding:.2rem .4rem}}";

/// A page that is being written.
pub(crate) struct Page {
    body: String,
    title: String,
}

impl Page {
    /// An empty page.
    pub(crate) fn new(title: &str) -> Self {
        Self { body: String::new(), title: format!("petasos-loadtest: {title}") }
    }

    /// Adds a table; the first column and the last are text.
    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let row = |cells: &[&str], tag: &str| {
            let last = cells.len().saturating_sub(1);
            let cell = |(at, cell): (usize, &&str)| {
                let class = if at == last { " class=\"l\"" } else { "" };
                format!("<{tag}{class}>{}</{tag}>", escape(cell))
            };
            format!("<tr>{}</tr>\n", cells.iter().enumerate().map(cell).collect::<String>())
        };
        self.body.push_str("<div class=\"scroll\"><table>\n");
        self.body.push_str(&row(head, "th"));
        for cells in rows {
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            self.body.push_str(&row(&cells, "td"));
        }
        self.body.push_str("</table></div>\n");
    }

    /// Adds rows as a table.
    pub(crate) fn rows(&mut self, rows: &[Row]) {
        self.body.push_str("<table class=\"rows\">\n");
        for (name, text) in rows {
            let (name, text) = (escape(name), escape(text));
            let _ = writeln!(self.body, "<tr><th scope=\"row\">{name}</th><td class=\"l\">{text}</td></tr>");
        }
        self.body.push_str("</table>\n");
    }

    /// Appends the content of another page.
    pub(crate) fn append(&mut self, other: &Self) {
        self.body.push_str(&other.body);
    }

    /// Adds the results of one scenario.
    pub(crate) fn section(&mut self, title: &str, scenario: &Scenario, rounds: &Rounds) {
        let class = if rounds.are_sound() && rounds.invalid().is_none() { "good" } else { "bad" };
        let _ = write!(
            self.body,
            "<h2>{}</h2>\n<p class=\"{class}\">{}</p>\n",
            escape(title),
            escape(&verdict(rounds))
        );
        if let Some(note) = rounds.disturbed() {
            let _ = writeln!(self.body, "<p class=\"bad\">disturbed: {}</p>", escape(note));
        }
        let mut rows = vec![arguments(scenario)];
        rows.extend(servers(rounds));
        self.rows(&rows);
        let figures: String = charts::of(rounds).iter().map(figure).collect();
        let _ = writeln!(self.body, "<div class=\"plots\">\n{figures}</div>");
        self.figures(rounds);
        if let Some(meaning) = ratio_meaning(rounds) {
            let _ = writeln!(self.body, "<p>{}</p>", escape(meaning));
        }
    }

    fn figures(&mut self, rounds: &Rounds) {
        let mut head = vec!["figure".to_owned()];
        for column in &rounds.columns {
            head.push(column.name.clone());
            if rounds.limit().is_some() && !column.is_limit() {
                head.push("ratio".to_owned());
            }
        }
        head.push("unit".to_owned());
        let mut rows = Vec::new();
        for line in lines(rounds) {
            let mut cells = vec![line.name.to_owned()];
            for (column, (value, ratio)) in rounds.columns.iter().zip(&line.values) {
                cells.push(shown(*value));
                if rounds.limit().is_some() && !column.is_limit() {
                    cells.push(ratio_text(*ratio));
                }
            }
            cells.push(line.unit.to_owned());
            rows.push(cells);
        }
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        self.table(&head, &rows);
    }

    /// The whole page.
    pub(crate) fn finish(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
             <style>{COLOUR_STYLE}{STYLE}{}</style>\n\
             <h1>{title}</h1>\n{body}</html>\n",
            line_style(),
            title = escape(&self.title),
            body = self.body
        )
    }
}

/// Escapes text for HTML content and attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// The classes of the lines of plots and of their legends.
fn line_style() -> String {
    let rule = |index| {
        let colour = format!("var(--c{index})");
        format!(".s{index}{{stroke:{colour}}}.f{index}{{fill:{colour}}}.b{index}{{border-color:{colour}}}")
    };
    (0..COLOURS).map(rule).collect()
}

/// A plot with its title and its legend.
fn figure(plot: &Plot) -> String {
    let (title, y_text) = (escape(plot.title), escape(plot.y_text));
    let drawn = match svg(plot) {
        Ok(svg) => svg.replacen("<svg", &format!("<svg role=\"img\" aria-label=\"{title}\""), 1),
        Err(error) => format!("<p class=\"bad\">{}</p>\n", escape(&chain(&error))),
    };
    let legend: String = plot.lines.iter().map(legend).collect();
    format!(
        "<figure><figcaption>{title}<small>{y_text}</small></figcaption>\n{drawn}<p class=\"legend\">{legend}</p>\
         </figure>\n"
    )
}

fn legend(line: &Series) -> String {
    let dashed = if line.is_dashed { " dashed" } else { "" };
    format!("<span><i class=\"b{}{dashed}\"></i>{}</span>\n", line.colour % COLOURS, escape(&line.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::about::About;
    use crate::reference::Reference;
    use crate::rounds::Column;
    use crate::scenario::Outcome;

    #[test]
    fn a_page_holds_every_server_and_nothing_from_elsewhere() {
        let column = |name: &str, is_limit: bool| {
            let mut book = crate::book::Book::new(1, 1, false);
            for value in 1..1_000 {
                book.times.receive.saturating_record(value * 1_000);
            }
            book.times.per_step = vec![5, 6, 7];
            let mut outcome = Outcome::default();
            outcome.push("cpu_per_delivery_ns", "ns", 3_000.0);
            outcome.times = Some(book.times);
            let reference = is_limit.then_some(Reference::Limit);
            Column { reference, outcomes: vec![outcome], ..Column::new(name, About::default()) }
        };
        let rounds =
            Rounds { columns: vec![column("hub", false), column("limit", true), column("<x>", false)] };
        let mut page = Page::new("fanout");
        page.rows(&[("command line".to_owned(), "a <b> \"c\"".to_owned())]);
        page.section("fanout", &Scenario::canonical(), &rounds);
        let text = page.finish();
        assert!(text.contains("a &lt;b&gt; &quot;c&quot;") && text.contains("divided by"), "{text}");
        assert_eq!(text.matches("<svg").count(), 3);
        assert!(text.contains("&lt;x&gt;") && !text.contains("<x>"), "{text}");
        for elsewhere in ["http:", "https:", "src=", "href=", "<script", "NaN"] {
            assert!(!text.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_page_about_a_run_that_failed_says_so() {
        let mut page = Page::new("fanout");
        page.section("fanout", &Scenario::canonical(), &Rounds::failed("no hub".to_owned()));
        assert!(page.finish().contains("no hub"));
    }
}
