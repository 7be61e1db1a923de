//! Plots as inline SVG, drawn by `plotters`: lines over two axes, each linear or logarithmic.
//!
//! The colours are classes: `ink` and `grid`, and `s0`, `f0` and so on for the strokes and fills of
//! the lines. The style sheet of the page defines them for a light and for a dark background.

use std::io;
use std::ops::Range;

use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::coord::combinators::{IntoLogRange as _, LogCoord};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingAreaErrorKind, IntoDrawingArea as _};
use plotters::element::Circle;
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::{Color as _, IntoFont as _, RGBColor, ShapeStyle};

/// Lines have one of this many colours.
pub(super) const COLOURS: usize = 6;
/// Coordinates are whole numbers, so a plot is drawn larger by this factor.
const SCALE: i32 = 10;
/// The size of a plot. On a phone it is about this wide in CSS pixels.
const WIDTH: i32 = 380 * SCALE;
const HEIGHT: i32 = 270 * SCALE;
const FONT_SIZE: i32 = 13 * SCALE;
/// `plotters` divides the size of a font by this in SVG.
const FONT_FACTOR: f64 = 1.24;
/// Points are marked if a line has at most this many.
const MARKED_POINTS_MAX: usize = 12;
/// The most marks of a linear axis.
const MARKS_MAX: usize = 6;
/// Colours that stand for classes.
const INK: RGBColor = RGBColor(1, 0, 0);
const GRID: RGBColor = RGBColor(2, 0, 0);

/// One line of a plot.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// Its name in the legend.
    pub(super) name: String,
    /// The index of its colour; the lines of one server share it.
    pub(super) colour: usize,
    /// Whether it is dashed.
    pub(super) is_dashed: bool,
    /// Its points, from left to right.
    pub(super) points: Vec<(f64, f64)>,
}

/// An axis with its marks.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    range: Range<f64>,
    is_logarithmic: bool,
    marks: Vec<f64>,
    label: fn(f64) -> String,
}

/// Lines over two axes.
#[derive(Debug, Clone)]
pub(super) struct Plot {
    pub(super) title: &'static str,
    /// What the axes show.
    pub(super) x_text: &'static str,
    pub(super) y_text: &'static str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Series>,
}

impl Axis {
    /// A linear axis from 0 that includes `values`.
    pub(super) fn linear(values: impl Iterator<Item = f64>) -> Self {
        let most = values.filter(|value| value.is_finite()).fold(0.0_f64, f64::max);
        let range = 0.0..if most > 0.0 { most * 1.05 } else { 1.0 };
        let marks = RangedCoordf64::from(range.clone()).key_points(MARKS_MAX);
        Self { range, is_logarithmic: false, marks, label: short }
    }

    /// A logarithmic axis over the decades of `values`.
    pub(super) fn decades(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|value| *value > 0.0 && value.is_finite())
            .fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (1.0, 10.0) } else { (low, high) };
        let first = low.log10().floor() as i32;
        let last = (high.log10().ceil() as i32).max(first + 1);
        let range = 10_f64.powi(first)..10_f64.powi(last);
        let digits: &[f64] = if last - first > 2 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let marks =
            (first..=last).flat_map(|decade| digits.iter().map(move |digit| digit * 10_f64.powi(decade)));
        let marks = marks.filter(|mark| *mark <= range.end).collect();
        Self { range, is_logarithmic: true, marks, label: short }
    }

    /// A linear axis with marks from the caller.
    pub(super) fn marked(range: Range<f64>, marks: Vec<f64>, label: fn(f64) -> String) -> Self {
        Self { range, is_logarithmic: false, marks, label }
    }
}

/// How `plotters` maps values to positions. It maps linearly or by the logarithm; the marks and
/// their labels are those of the axis.
impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        if self.is_logarithmic {
            LogCoord::from(self.range.clone().log_scale()).map(value, limit)
        } else {
            RangedCoordf64::from(self.range.clone()).map(value, limit)
        }
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.marks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        (self.label)(*value)
    }
}

/// A plot cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[error("a plot cannot be drawn")]
pub(super) struct PlotError(#[from] DrawingAreaErrorKind<io::Error>);

/// The plot as an `svg` element.
pub(super) fn svg(plot: &Plot) -> Result<String, PlotError> {
    let mut out = String::new();
    draw(plot, &mut out)?;
    Ok(with_classes(&out))
}

fn draw(plot: &Plot, out: &mut String) -> Result<(), DrawingAreaErrorKind<io::Error>> {
    let size = (WIDTH.unsigned_abs(), HEIGHT.unsigned_abs());
    let area = SVGBackend::with_string(out, size).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin_top(8 * SCALE)
        .margin_right(24 * SCALE)
        .x_label_area_size(42 * SCALE)
        .y_label_area_size(46 * SCALE)
        .build_cartesian_2d(plot.x.clone(), plot.y.clone())?;
    let text = ("sans-serif", f64::from(FONT_SIZE) * FONT_FACTOR).into_font().color(&INK);
    chart
        .configure_mesh()
        .bold_line_style(GRID.stroke_width(SCALE.unsigned_abs()))
        .axis_style(GRID.stroke_width(SCALE.unsigned_abs()))
        .set_all_tick_mark_size(4 * SCALE)
        .label_style(text.clone())
        .axis_desc_style(text)
        .x_desc(plot.x_text)
        .draw()?;
    for line in &plot.lines {
        let points = || line.points.iter().copied();
        let style = ShapeStyle { stroke_width: 2 * SCALE.unsigned_abs(), ..colour(line.colour).filled() };
        if line.is_dashed {
            chart.draw_series(DashedLineSeries::new(points(), 5 * SCALE, 5 * SCALE, style))?;
        } else {
            chart.draw_series(LineSeries::new(points(), style))?;
        }
        if line.points.len() <= MARKED_POINTS_MAX {
            chart.draw_series(points().map(|point| Circle::new(point, 3 * SCALE, style)))?;
        }
    }
    drop(chart);
    area.present()
}

/// The colour that stands for the classes of a line.
fn colour(index: usize) -> RGBColor {
    RGBColor(0, (index % COLOURS) as u8, 1)
}

/// Replaces colours by classes, and removes what the page decides: size, font and name space.
fn with_classes(svg: &str) -> String {
    let attribute = |name: &str, RGBColor(red, green, blue): RGBColor| {
        format!(" {name}=\"#{red:02X}{green:02X}{blue:02X}\"")
    };
    let mut out = svg
        .replace(&format!(" width=\"{WIDTH}\" height=\"{HEIGHT}\""), "")
        .replace(" xmlns=\"http://www.w3.org/2000/svg\"", "")
        .replace(" font-family=\"sans-serif\"", "")
        .replace(" stroke=\"none\"", "")
        .replace(" opacity=\"1\"", "")
        .replace(&attribute("fill", INK), " class=\"ink\"")
        .replace(&attribute("stroke", GRID), " class=\"grid\"");
    for index in 0..COLOURS {
        out = out
            .replace(&attribute("stroke", colour(index)), &format!(" class=\"s{index}\""))
            .replace(&attribute("fill", colour(index)), &format!(" class=\"f{index}\""));
    }
    out
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

    fn labels(axis: &Axis) -> Vec<String> {
        axis.marks.iter().map(|mark| (axis.label)(*mark)).collect()
    }

    #[test]
    fn axes_have_room_for_their_values_and_round_marks() {
        let axis = Axis::linear([3.0, 87.0].into_iter());
        assert!(axis.range.end > 87.0 && axis.range.end < 100.0, "{axis:?}");
        assert_eq!(labels(&axis), ["0", "20", "40", "60", "80"]);
        let axis = Axis::decades([40.0, 5_000.0, 0.0, f64::NAN].into_iter());
        assert_eq!(labels(&axis), ["10", "100", "1k", "10k"]);
        let axis = Axis::decades([120.0, 900.0].into_iter());
        assert_eq!(labels(&axis), ["100", "200", "500", "1k"]);
    }

    #[test]
    fn axes_without_values_are_no_fault() {
        for axis in [Axis::linear(std::iter::empty()), Axis::decades([0.0].into_iter())] {
            assert!(axis.range.end > axis.range.start && axis.marks.len() > 1, "{axis:?}");
        }
    }

    #[test]
    fn a_plot_leaves_its_size_its_fonts_and_its_colours_to_the_page() {
        let line = |colour, is_dashed| Series {
            name: String::new(),
            colour,
            is_dashed,
            points: vec![(0.0, 1.0), (1.0, 30.0)],
        };
        let plot = Plot {
            title: "t",
            x_text: "a <b>",
            y_text: "y",
            x: Axis::linear([1.0].into_iter()),
            y: Axis::decades([1.0, 30.0].into_iter()),
            lines: vec![line(0, false), line(COLOURS + 1, true)],
        };
        let text = svg(&plot).expect("drawn");
        for class in ["ink", "grid", "s0", "f0", "s1", "f1"] {
            assert!(text.contains(&format!(" class=\"{class}\"")), "no {class}: {text}");
        }
        for absent in ["\"#", "xmlns", "font-family", " width=\"3800\"", "<b>", "NaN"] {
            assert!(!text.contains(absent), "{absent}: {text}");
        }
        assert!(text.starts_with("<svg viewBox=\"0 0 3800 2700\">"), "{text}");
        let twice = text.lines().find(|tag| tag.matches(" class=").count() > 1);
        assert_eq!(twice, None);
    }
}
