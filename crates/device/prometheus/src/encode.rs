//! Remote write messages.

use model::proto::{put_bytes, put_fixed64, put_message, put_uint};

use crate::batch::{Batch, Exemplar, Sample, pairs};

/// Which message of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// `prometheus.WriteRequest`, Remote-Write 1.0.
    V1,
    /// `io.prometheus.write.v2.Request`, Remote-Write 2.0.
    V2,
}

/// Appends a batch that is sorted; false where it is longer than `most` bytes, and then not all of it.
pub(crate) fn put(batch: &Batch, message: Message, most: usize, out: &mut Vec<u8>) -> bool {
    if message == Message::V2 {
        for symbol in batch.symbols.iter() {
            put_bytes(out, 4, symbol);
        }
    }
    let mut exemplars = batch.exemplars.as_slice();
    for samples in batch.samples.chunk_by(|one, other| one.series == other.series) {
        let Some(Sample { series, .. }) = samples.first() else { continue };
        if out.len() > most {
            return false;
        }
        // Exemplars of a series without samples do not come: points have both.
        let before = exemplars.partition_point(|exemplar| exemplar.series < *series);
        let (_, rest) = exemplars.split_at(before);
        let (own, rest) = rest.split_at(rest.partition_point(|exemplar| exemplar.series == *series));
        exemplars = rest;
        match message {
            Message::V1 => put_message(out, 1, |out| series_v1(batch, samples, own, out)),
            Message::V2 => put_message(out, 5, |out| series_v2(batch, samples, own, out)),
        }
    }
    if message == Message::V1 {
        for family in batch.families() {
            put_message(out, 3, |out| {
                put_uint(out, 1, u64::from(family.kind));
                put_bytes(out, 2, batch.symbols.get(family.name));
                put_bytes(out, 4, batch.symbols.get(family.help));
                put_bytes(out, 5, batch.symbols.get(family.unit));
            });
        }
    }
    out.len() <= most
}

fn series_v2(batch: &Batch, samples: &[Sample], exemplars: &[Exemplar], out: &mut Vec<u8>) {
    let Some(first) = samples.first() else { return };
    let series = batch.series_of(first.series);
    put_bytes(out, 1, series.labels);
    for sample in samples {
        if series.native {
            put_message(out, 3, |out| {
                out.extend_from_slice(batch.histogram_of(sample));
                put_time(out, 15, sample.time);
                put_time(out, 17, sample.start);
            });
        } else {
            put_message(out, 2, |out| {
                put_number(out, 1, sample.value);
                put_time(out, 2, sample.time);
                put_time(out, 3, sample.start);
            });
        }
    }
    for exemplar in exemplars {
        put_message(out, 4, |out| {
            put_bytes(out, 1, batch.exemplar_labels_of(exemplar));
            put_number(out, 2, exemplar.value);
            put_time(out, 3, exemplar.time);
        });
    }
    let family = batch.family_of(series.family);
    put_message(out, 5, |out| {
        put_uint(out, 1, u64::from(family.kind));
        put_uint(out, 3, u64::from(family.help));
        put_uint(out, 4, u64::from(family.unit));
    });
}

fn series_v1(batch: &Batch, samples: &[Sample], exemplars: &[Exemplar], out: &mut Vec<u8>) {
    let Some(first) = samples.first() else { return };
    let series = batch.series_of(first.series);
    put_labels_v1(batch, series.labels, out);
    if !series.native {
        for sample in samples {
            put_message(out, 2, |out| {
                put_number(out, 1, sample.value);
                put_time(out, 2, sample.time);
            });
        }
    }
    for exemplar in exemplars {
        put_message(out, 3, |out| {
            put_labels_v1(batch, batch.exemplar_labels_of(exemplar), out);
            put_number(out, 2, exemplar.value);
            put_time(out, 3, exemplar.time);
        });
    }
    if series.native {
        for sample in samples {
            put_message(out, 4, |out| {
                out.extend_from_slice(batch.histogram_of(sample));
                put_time(out, 15, sample.time);
            });
        }
    }
}

fn put_labels_v1(batch: &Batch, labels: &[u8], out: &mut Vec<u8>) {
    for (name, value) in pairs(labels) {
        put_message(out, 1, |out| {
            put_bytes(out, 1, batch.symbols.get(name));
            put_bytes(out, 2, batch.symbols.get(value));
        });
    }
}

fn put_number(out: &mut Vec<u8>, number: u32, bits: u64) {
    if bits != 0 {
        put_fixed64(out, number, bits);
    }
}

fn put_time(out: &mut Vec<u8>, number: u32, time: i64) {
    if time != 0 {
        put_uint(out, number, time.cast_unsigned());
    }
}
