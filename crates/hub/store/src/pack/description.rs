//! What a metric pack says of a series, and the labels by which its series are found.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use prost::Message;

use crate::proto::{OriginRow, SeriesDescription};
use crate::rows::{Kind, Origin, Series, value_text};

/// Values longer than this are not in the label index; their series are looked at with every question.
const MAX_VALUE: usize = 1024;
/// The label of series with such values.
pub(crate) const LONG: &[u8] = b"!";

/// A label of the index: names of metrics, devices, and attributes of points and of resources are kept apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    /// The metric's name.
    Name,
    /// The device's name.
    Device,
    /// An attribute of the series.
    Attribute(String),
    /// An attribute of its resource.
    Resource(String),
}

impl Label {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (class, key) = match self {
            Label::Name => (b'n', ""),
            Label::Device => (b'd', ""),
            Label::Attribute(key) => (b'a', key.as_str()),
            Label::Resource(key) => (b'r', key.as_str()),
        };
        let mut bytes = vec![class];
        bytes.extend_from_slice(key.as_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (class, key) = bytes.split_first()?;
        let key = std::str::from_utf8(key).ok()?.to_owned();
        Some(match class {
            b'n' => Label::Name,
            b'd' => Label::Device,
            b'a' => Label::Attribute(key),
            b'r' => Label::Resource(key),
            _ => return None,
        })
    }
}

/// The labels of a series with their values, as the index has them.
pub(crate) fn labels_of(series: &Series) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut labels = vec![
        (Label::Name.to_bytes(), series.name.clone().into_bytes()),
        (Label::Device.to_bytes(), series.origin.device.as_bytes().to_vec()),
    ];
    let mut add = |class: fn(String) -> Label, attributes: &[KeyValue]| {
        for attribute in attributes {
            if let Some(text) = attribute.value.as_ref().and_then(value_text) {
                labels.push((class(attribute.key.clone()).to_bytes(), text.into_bytes()));
            }
        }
    };
    add(Label::Attribute, &series.attributes);
    add(Label::Resource, &series.origin.resource.attributes);
    if labels.iter().any(|(label, value)| value.len() > MAX_VALUE || label.len() > MAX_VALUE) {
        labels.retain(|(label, value)| value.len() <= MAX_VALUE && label.len() <= MAX_VALUE);
        labels.push((LONG.to_vec(), Vec::new()));
    }
    labels
}

pub(crate) fn describe(series: &Series) -> Vec<u8> {
    let description = SeriesDescription {
        origin: series.origin.to_row().encode_to_vec(),
        name: series.name.clone(),
        description: series.description.clone(),
        unit: series.unit.clone(),
        metadata: series.metadata.clone(),
        kind: series.kind.to_number(),
        attributes: series.attributes.clone(),
    };
    description.encode_to_vec()
}

/// Descriptions read, with the origins that they share.
#[derive(Default)]
pub(crate) struct Descriptions(HashMap<Vec<u8>, Arc<Origin>>);

impl Descriptions {
    /// The series of a description; what is wrong with it otherwise.
    pub(crate) fn read(&mut self, key: Vec<u8>, bytes: &[u8]) -> Result<Arc<Series>, String> {
        let description = SeriesDescription::decode(bytes).map_err(|error| error.to_string())?;
        let kind =
            Kind::from_number(description.kind).ok_or_else(|| format!("no kind of metric {}", description.kind))?;
        let origin = match self.0.get(&description.origin) {
            Some(origin) => Arc::clone(origin),
            None => {
                let row = OriginRow::decode(&*description.origin).map_err(|error| error.to_string())?;
                let origin = Origin::from_row(&row);
                self.0.insert(description.origin, Arc::clone(&origin));
                origin
            }
        };
        Ok(Arc::new(Series {
            origin,
            name: description.name,
            description: description.description,
            unit: description.unit,
            metadata: description.metadata,
            kind,
            attributes: description.attributes,
            key,
        }))
    }
}
