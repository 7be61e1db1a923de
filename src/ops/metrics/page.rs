//! One page of metrics. Names are those of the page, without the `_total` suffix of counters.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::histogram::{Totals, seconds};

/// The page.
pub(super) struct MetricsPage<'e>(pub(super) DescriptorEncoder<'e>);

impl MetricsPage<'_> {
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.one(name, help, &ConstCounter::new(value))
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.one(name, help, &ConstGauge::new(value))
    }

    /// A metric without labels.
    pub(super) fn one(&mut self, name: &str, help: &str, metric: &impl EncodeMetric) -> fmt::Result {
        metric.encode(self.0.encode_descriptor(name, help, None, metric.metric_type())?)
    }

    /// A counter for each value of a label.
    pub(super) fn counters<'v>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'v str, u64)>,
    ) -> fmt::Result {
        let values = values.into_iter().map(|(value, count)| ([(label, value)], ConstCounter::new(count)));
        self.family(name, help, MetricType::Counter, values)
    }

    /// A gauge for each set of labels.
    pub(super) fn gauges<S: EncodeLabelSet, N>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (S, N)>,
    ) -> fmt::Result
    where
        ConstGauge<N>: EncodeMetric,
    {
        let values = values.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.family(name, help, MetricType::Gauge, values)
    }

    fn family<S: EncodeLabelSet, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        metric_type: MetricType,
        values: impl Iterator<Item = (S, M)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, metric_type)?;
        for (labels, metric) in values {
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, totals: &Totals) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        encoder.encode_histogram::<NoLabelSet>(
            seconds(totals.sum_us),
            totals.count(),
            &totals.in_seconds(),
            None,
        )
    }
}
