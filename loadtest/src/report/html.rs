//! One self-contained HTML page: tables, and plots as inline SVG.

use std::fmt::Write as _;

use super::svg::{Axis, Series, plot};
use super::{arguments, lines, ratio_meaning, ratio_text, servers, shown, verdict};
use crate::book::STEP_NS;
use crate::record::Row;
use crate::rounds::{Column, Rounds};
use crate::scenario::{SECOND_NS, Scenario, micros};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;\
    color:#1b1b1b;background:#fff}table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .7rem;\
    border-bottom:1px solid #ddd;text-align:right}td:first-child,th:first-child,td.l,th.l{text-align:left}\
    svg{width:100%;max-width:44rem;height:auto;display:block;margin-top:1.5rem}svg text{font-size:11px;fill:#333}\
    svg .title{font-size:13px;font-weight:600}.grid{stroke:#e4e4e4;fill:none}.line{fill:none;stroke-width:2}\
    .rows th{font-weight:600;vertical-align:top;white-space:nowrap}.rows td{text-align:left;overflow-wrap:anywhere}\
    .legend span{margin-right:1.4rem}.legend i{display:inline-block;width:1.8rem;margin-right:.4rem;\
    vertical-align:middle}.bad{color:#b00020;font-weight:600}.good{color:#006b3c;font-weight:600}";

/// The figures whose cost per round can be plotted; the first that a scenario has is used.
const COSTS: [(&str, &str); 3] = [
    ("cpu_per_delivery_ns", "Server CPU per delivery, ns"),
    ("cpu_per_connection_us", "Server CPU per connection, µs"),
    ("memory_per_connection_b", "Memory per connection, bytes"),
];
/// Percentiles are drawn up to this many nines.
const NINES: u32 = 5;
/// Points of a percentile line for each nine.
const POINTS_PER_NINE: u32 = 12;

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
        self.body.push_str("<table>\n");
        self.body.push_str(&row(head, "th"));
        for cells in rows {
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            self.body.push_str(&row(&cells, "td"));
        }
        self.body.push_str("</table>\n");
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
        for plotted in [percentiles(rounds), over_time(rounds), costs(rounds)].into_iter().flatten() {
            self.body.push_str(&plotted);
            self.body.push('\n');
        }
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
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
             <h1>{title}</h1>\n{body}</html>\n",
            title = escape(&self.title),
            body = self.body
        )
    }
}

/// Escapes text for HTML content and attributes.
pub(super) fn escape(text: &str) -> String {
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

fn values(lines: &[Series]) -> impl Iterator<Item = f64> {
    lines.iter().flat_map(|line| line.points.iter().map(|point| point.1))
}

fn percentiles(rounds: &Rounds) -> Option<String> {
    let mut lines = Vec::new();
    for (colour, column) in rounds.columns.iter().enumerate() {
        let Some(times) = column.times() else { continue };
        for (what, histogram, dashed) in [("any", &times.receive, false), ("last", &times.last, true)] {
            // Beyond the nines that the samples can resolve, a percentile only repeats the maximum.
            let nines = (histogram.len().max(1) as f64).log10().min(f64::from(NINES));
            let points = (0..=NINES * POINTS_PER_NINE)
                .map(|point| f64::from(point) / f64::from(POINTS_PER_NINE))
                .filter(|at| *at <= nines)
                .map(|at| (at, micros(histogram, 1.0 - 10_f64.powf(-at))))
                .collect();
            if !histogram.is_empty() {
                lines.push(Series {
                    name: format!("{}, {what} subscriber", column.name),
                    colour,
                    dashed,
                    points,
                });
            }
        }
    }
    let marks = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];
    let marks = marks.iter().enumerate().map(|(at, mark)| (at as f64, (*mark).to_owned())).collect();
    let x = Axis::marked("of the deliveries (or updates) were not later", 0.0, f64::from(NINES), marks);
    let y = Axis::decades("µs after publication was due", values(&lines));
    (!lines.is_empty()).then(|| plot("Latency by percentile, all rounds", &x, &y, &lines))
}

fn over_time(rounds: &Rounds) -> Option<String> {
    let steps_per_second = SECOND_NS as f64 / STEP_NS as f64;
    let line = |(colour, column): (usize, &Column)| {
        let steps = &column.outcomes.first()?.times.as_ref()?.per_step;
        // The last step is incomplete.
        let whole = if steps.len() > 1 { &steps[..steps.len() - 1] } else { &steps[..] };
        let points = whole.iter().enumerate();
        let points =
            points.map(|(at, count)| (at as f64 / steps_per_second, *count as f64 * steps_per_second));
        let points: Vec<(f64, f64)> = points.collect();
        (!points.is_empty()).then(|| Series { name: column.name.clone(), colour, dashed: false, points })
    };
    let lines: Vec<Series> = rounds.columns.iter().enumerate().filter_map(line).collect();
    let ends = lines.iter().flat_map(|line| line.points.last()).map(|point| point.0);
    let x = Axis::linear("seconds", ends);
    let y = Axis::linear("deliveries/s", values(&lines));
    (!lines.is_empty()).then(|| plot("Deliveries over time, first round", &x, &y, &lines))
}

fn costs(rounds: &Rounds) -> Option<String> {
    let has = |figure: &str| rounds.columns.iter().any(|column| column.median(figure).is_some());
    let (figure, title) = COSTS.into_iter().find(|(figure, _)| has(figure))?;
    let line = |(colour, column): (usize, &Column)| {
        let points = column.outcomes.iter().enumerate();
        let points: Vec<(f64, f64)> =
            points.filter_map(|(round, outcome)| Some((round as f64 + 1.0, outcome.get(figure)?))).collect();
        (!points.is_empty()).then(|| Series { name: column.name.clone(), colour, dashed: false, points })
    };
    let lines: Vec<Series> = rounds.columns.iter().enumerate().filter_map(line).collect();
    let last = rounds.columns.iter().map(|column| column.outcomes.len()).max().unwrap_or(1);
    let marks = (1..=last).map(|round| (round as f64, round.to_string())).collect();
    let x = Axis::marked("round", 0.5, last as f64 + 0.5, marks);
    let y = Axis::linear("", values(&lines));
    Some(plot(title, &x, &y, &lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::about::About;
    use crate::scenario::Outcome;
    use crate::server::Reference;

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
