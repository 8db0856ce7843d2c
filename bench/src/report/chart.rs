//! The plots.

use core::ops::Range;

use fastalloc_bench::{
    candidate::Kind,
    record::{Answer, Measure, Row, Summary},
};
use plotters::{
    coord::types::RangedCoordf64,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::table::{figure, quantity};

/// One for each way to own objects.
pub(super) const COLORS: [(Kind, RGBColor); 5] = [
    (Kind::Ours, RGBColor(214, 69, 65)),
    (Kind::Handles, RGBColor(52, 120, 190)),
    (Kind::Keys, RGBColor(120, 94, 170)),
    (Kind::Arena, RGBColor(190, 150, 40)),
    (Kind::Heap, RGBColor(110, 120, 130)),
];

const WIDTH: u32 = 900;
const ROW: u32 = 22;
/// Room for the names of candidates and groups.
const NAMES: u32 = 230;
/// Room for figures at the right end.
const FIGURES: u32 = 120;
const AXIS: u32 = 30;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'c> =
    ChartContext<'c, SVGBackend<'a>, Cartesian2d<plotters::coord::combinators::LogCoord<f64>, RangedCoordf64>>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Says what the marks of [`of_answer`] are.
pub(super) fn explanation(measure: Measure) -> &'static str {
    match measure {
        Measure::Time => "Nanoseconds, less is better; the bar ends at the minimum, the tick is the median.",
        Measure::Latency => "Nanoseconds, less is better; from the median over the percentiles to the maximum.",
        Measure::Bytes => {
            "Bytes, less is better: resident while all objects are there (filled) and after their release (hollow)."
        }
    }
}

/// Plots the answers to one question, the best first.
pub(super) fn of_answer(answer: &Answer) -> String {
    let mut rows: Vec<&Row> = answer.rows.iter().collect();
    rows.sort_by(|a, b| a.figures[0].min.total_cmp(&b.figures[0].min));
    // Of bytes, the addresses reserved and the size of a handle are in the table only.
    let shown = if answer.measure == Measure::Bytes { 2 } else { answer.columns.len() };
    let figures = rows.iter().flat_map(|row| &row.figures[..shown]);
    let ends = ends(figures.flat_map(|summary| [summary.min, summary.median]));
    let text = quantity(answer.measure);
    draw(rows.len(), ends, text, |root, chart| {
        for (line, row) in rows.iter().enumerate() {
            let y = line as f64 + 0.5;
            let color = color(row.kind);
            name(root, chart, y, &row.candidate, row.kind == Kind::Ours)?;
            match answer.measure {
                Measure::Time => bar(chart, y, row, color)?,
                Measure::Latency | Measure::Bytes => dots(chart, y, &row.figures[..shown], color)?,
            }
            let mut ends = vec![text(row.figures[0].min)];
            ends.extend((shown > 1).then(|| text(row.figures[shown - 1].min)));
            value(root, chart, y, &ends.join(" to "))?;
        }
        Ok(())
    })
}

/// Plots how many times ours is faster, for each group of times and each kind of rival that owns objects.
pub(super) fn overview(answers: &[Answer]) -> String {
    let compared: Vec<(String, Vec<(Kind, f64)>)> = answers.iter().flat_map(lines_of_overview).collect();
    let ends = ends(compared.iter().flat_map(|(_, ratios)| ratios).map(|(_, ratio)| *ratio).chain([1.0]));
    draw(compared.len(), ends, figure, |root, chart| {
        let line = [(1.0, 0.0), (1.0, compared.len() as f64)];
        chart.draw_series([PathElement::new(line, color(Kind::Ours).stroke_width(2))])?;
        for (line, (group, ratios)) in compared.iter().enumerate() {
            let y = line as f64 + 0.5;
            name(root, chart, y, group, ratios.iter().any(|(_, ratio)| *ratio < 1.0))?;
            let figures: Vec<String> = ratios.iter().map(|(_, ratio)| figure(*ratio)).collect();
            value(root, chart, y, &figures.join(", "))?;
            chart.draw_series(ratios.iter().map(|(kind, ratio)| Circle::new((*ratio, y), 5, color(*kind).filled())))?;
        }
        Ok(())
    })
}

fn lines_of_overview(answer: &Answer) -> Vec<(String, Vec<(Kind, f64)>)> {
    let columns: &[&str] = match answer.measure {
        Measure::Time => &["ns"],
        Measure::Latency => &["p99.9", "max"],
        Measure::Bytes => &["resident", "resident after release"],
    };
    let line = |wanted: &&str| {
        let column = answer.columns.iter().position(|column| column == wanted)?;
        let ours = answer.best(column, |row| row.kind == Kind::Ours)?.figures[column].min;
        let ratio = |kind| Some((kind, answer.best(column, |row| row.kind == kind)?.figures[column].min / ours));
        let name = if answer.columns.len() == 1 { answer.name.clone() } else { format!("{} {wanted}", answer.name) };
        Some((name, [Kind::Handles, Kind::Heap].into_iter().filter_map(ratio).collect()))
    };
    columns.iter().filter_map(line).collect()
}

/// A bar with a tick.
fn bar(chart: &mut Chart<'_, '_>, y: f64, row: &Row, color: RGBColor) -> Drawn {
    let time = row.figures[0];
    let start = chart.x_range().start;
    chart.draw_series([Rectangle::new([(start, y - 0.32), (time.min, y + 0.32)], color.filled())])?;
    chart.draw_series([PathElement::new([(time.median, y - 0.4), (time.median, y + 0.4)], BLACK)])?;
    Ok(())
}

/// A line with a dot for each figure, of which the first is filled.
fn dots(chart: &mut Chart<'_, '_>, y: f64, figures: &[Summary], color: RGBColor) -> Drawn {
    let start = chart.x_range().start;
    let points: Vec<(f64, f64)> = figures.iter().map(|summary| (summary.min.max(start), y)).collect();
    chart.draw_series([PathElement::new(points.clone(), color)])?;
    chart.draw_series(points.iter().skip(1).map(|point| Circle::new(*point, 4, WHITE.filled())))?;
    chart.draw_series(points.iter().skip(1).map(|point| Circle::new(*point, 4, color)))?;
    chart.draw_series(points.first().map(|point| Circle::new(*point, 5, color.filled())))?;
    Ok(())
}

fn color(kind: Kind) -> RGBColor {
    COLORS.iter().find(|(of, _)| *of == kind).map_or(BLACK, |(_, color)| *color)
}

/// Returns a range of a logarithmic axis with all these figures in it.
fn ends(figures: impl Iterator<Item = f64>) -> Range<f64> {
    let (least, most) = figures
        .filter(|figure| *figure > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(least, most), figure| (least.min(figure), most.max(figure)));
    if least > most { 0.5..2.0 } else { least / 1.5..most * 1.3 }
}

/// Makes a plot of some lines with a logarithmic axis.
fn draw(
    lines: usize,
    ends: Range<f64>,
    text: fn(f64) -> String,
    marks: impl FnOnce(&Area<'_>, &mut Chart<'_, '_>) -> Drawn,
) -> String {
    let mut svg = String::new();
    let height = lines.max(1) as u32 * ROW + AXIS + 10;
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        fill(&root, lines.max(1), ends, text, marks).expect("a plot in a string");
    }
    svg
}

fn fill(
    root: &Area<'_>,
    lines: usize,
    ends: Range<f64>,
    text: fn(f64) -> String,
    marks: impl FnOnce(&Area<'_>, &mut Chart<'_, '_>) -> Drawn,
) -> Drawn {
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(root)
        .margin_top(5)
        .margin_right(FIGURES)
        .x_label_area_size(AXIS)
        .y_label_area_size(NAMES)
        // The first line is on top.
        .build_cartesian_2d(ends.log_scale(), lines as f64..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(8)
        .x_label_formatter(&|value| text(*value))
        .light_line_style(RGBColor(245, 245, 245))
        .bold_line_style(RGBColor(220, 220, 220))
        .draw()?;
    marks(root, &mut chart)?;
    root.present()?;
    Ok(())
}

/// Writes a name in front of a line.
fn name(root: &Area<'_>, chart: &Chart<'_, '_>, y: f64, text: &str, bold: bool) -> Drawn {
    let (x, y) = chart.backend_coord(&(chart.x_range().start, y));
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    let font = FontDesc::new(FontFamily::SansSerif, 13.0, style);
    let style = font.color(&BLACK).pos(Pos::new(HPos::Right, VPos::Center));
    root.draw(&Text::new(text, (x - 8, y), style))?;
    Ok(())
}

/// Writes figures behind a line.
fn value(root: &Area<'_>, chart: &Chart<'_, '_>, y: f64, value: &str) -> Drawn {
    let (x, y) = chart.backend_coord(&(chart.x_range().end, y));
    let font = FontDesc::new(FontFamily::SansSerif, 12.0, FontStyle::Normal);
    let style = font.color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
    root.draw(&Text::new(value, (x + 6, y), style))?;
    Ok(())
}
