//! Plots as inline SVG: lines over two axes, each linear or logarithmic. No scripts, no external
//! styles.

use std::fmt::Write as _;

use super::html::escape;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;
/// Distinguishable with a colour vision deficiency.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// One line of a plot.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// Its name in the legend.
    pub(super) name: String,
    /// The index of its colour; the lines of one server share it.
    pub(super) colour: usize,
    /// Whether it is dashed.
    pub(super) dashed: bool,
    /// Its points, from left to right.
    pub(super) points: Vec<(f64, f64)>,
}

/// An axis from `low` to `high` with its marks.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    label: &'static str,
    low: f64,
    high: f64,
    logarithmic: bool,
    marks: Vec<(f64, String)>,
}

impl Axis {
    /// A linear axis from 0 that includes `values`.
    pub(super) fn linear(label: &'static str, values: impl Iterator<Item = f64>) -> Self {
        let most = values.filter(|value| value.is_finite()).fold(0.0_f64, f64::max);
        let step = step(most / 5.0);
        let high = (most / step).ceil().max(1.0) * step;
        let count = (high / step).round() as u32;
        let marks = (0..=count).map(|mark| f64::from(mark) * step).map(|at| (at, short(at))).collect();
        Self { label, low: 0.0, high, logarithmic: false, marks }
    }

    /// A logarithmic axis over the decades of `values`.
    pub(super) fn decades(label: &'static str, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|value| *value > 0.0 && value.is_finite())
            .fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (1.0, 10.0) } else { (low, high) };
        let first = low.log10().floor() as i32;
        let last = (high.log10().ceil() as i32).max(first + 1);
        let marks = (first..=last).map(|decade| 10_f64.powi(decade)).map(|at| (at, short(at))).collect();
        Self { label, low: 10_f64.powi(first), high: 10_f64.powi(last), logarithmic: true, marks }
    }

    /// A linear axis with marks from the caller.
    pub(super) fn marked(label: &'static str, low: f64, high: f64, marks: Vec<(f64, String)>) -> Self {
        Self { label, low, high, logarithmic: false, marks }
    }

    /// The position of `value` on the axis, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        share.clamp(0.0, 1.0)
    }
}

/// A plot of lines; points are marked if there are few.
pub(super) fn plot(title: &str, x: &Axis, y: &Axis, lines: &[Series]) -> String {
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\
         <text x=\"{LEFT}\" y=\"16\" class=\"title\">{title}</text>",
        title = escape(title)
    );
    let across = |value: f64| LEFT + x.place(value) * (WIDTH - LEFT - RIGHT);
    let up = |value: f64| HEIGHT - BOTTOM - y.place(value) * (HEIGHT - TOP - BOTTOM);
    let (floor, ceiling, right) = (HEIGHT - BOTTOM, TOP, WIDTH - RIGHT);
    for (at, label) in &x.marks {
        let here = across(*at);
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{here:.1} {floor}V{ceiling}\"/>\
             <text x=\"{here:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            floor + 14.0,
            escape(label)
        );
    }
    for (at, label) in &y.marks {
        let here = up(*at);
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {here:.1}H{right}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            here + 4.0,
            escape(label)
        );
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        f64::midpoint(LEFT, right),
        HEIGHT - 12.0,
        escape(x.label),
        f64::midpoint(floor, ceiling),
        escape(y.label)
    );
    for line in lines {
        draw(&mut out, line, across, up);
    }
    out.push_str("</svg>");
    out.push_str(&legend(lines));
    out
}

fn draw(out: &mut String, line: &Series, across: impl Fn(f64) -> f64, up: impl Fn(f64) -> f64) {
    let colour = COLOURS[line.colour % COLOURS.len()];
    let dashes = if line.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
    let points: Vec<(f64, f64)> = line.points.iter().map(|(x, y)| (across(*x), up(*y))).collect();
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ =
        write!(out, "<polyline class=\"line\" stroke=\"{colour}\"{dashes} points=\"{}\"/>", path.join(" "));
    if points.len() <= 12 {
        for (x, y) in points {
            let _ = write!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
    }
}

fn legend(lines: &[Series]) -> String {
    let entry = |line: &Series| {
        let style = if line.dashed { "dashed" } else { "solid" };
        let colour = COLOURS[line.colour % COLOURS.len()];
        format!("<span><i style=\"border-top:3px {style} {colour}\"></i>{}</span>", escape(&line.name))
    };
    format!("<p class=\"legend\">{}</p>", lines.iter().map(entry).collect::<String>())
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn step(least: f64) -> f64 {
    let least = if least > 0.0 { least } else { 0.2 };
    let decade = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|digit| digit * decade)
        .into_iter()
        .find(|step| *step >= least)
        .unwrap_or(10.0 * decade)
}

/// A short form of a number: `20k`, `1.5M`.
fn short(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        large if large >= 1e6 => (value / 1e6, "M"),
        large if large >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = format!("{scaled:.3}");
    format!("{}{suffix}", digits.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_room_for_their_values_and_round_marks() {
        let axis = Axis::linear("x", [3.0, 87.0].into_iter());
        let labels: Vec<&str> = axis.marks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["0", "20", "40", "60", "80", "100"]);
        let axis = Axis::decades("y", [40.0, 5_000.0, 0.0, f64::NAN].into_iter());
        let labels: Vec<&str> = axis.marks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["10", "100", "1k", "10k"]);
        assert!((axis.place(100.0) - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!((axis.place(1.0), axis.place(1e9)), (0.0, 1.0));
    }

    #[test]
    fn axes_without_values_are_no_fault() {
        for axis in [Axis::linear("x", std::iter::empty()), Axis::decades("x", [0.0].into_iter())] {
            assert!(axis.high > axis.low && axis.marks.len() > 1);
            assert!(axis.place(0.5).is_finite());
        }
    }

    #[test]
    fn a_name_cannot_break_out_of_the_plot() {
        let line = Series { name: "<b>&".to_owned(), colour: 9, dashed: true, points: vec![(0.0, 1.0)] };
        let axis = Axis::linear("x", [1.0].into_iter());
        let text = plot("a \"<plot>\"", &axis, &axis, &[line]);
        assert!(!text.contains("<b>") && !text.contains("<plot>"), "{text}");
    }
}
