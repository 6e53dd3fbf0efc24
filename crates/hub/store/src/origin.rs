//! Where a record comes from, and its attributes by name.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::proto::OriginRow;

/// The service of a resource that names none, as the OpenTelemetry resource conventions have it.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// Where a record comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The device's name.
    pub device: Arc<str>,
    /// The life of the device's data directory in which it was collected; 0 for OTLP straight to the hub, and where it is
    /// not known. Two agents under one name are two epochs.
    pub epoch: u64,
    /// Its resource.
    pub resource: Resource,
    /// Schema of the resource.
    pub resource_schema_url: String,
    /// Its instrumentation scope.
    pub scope: InstrumentationScope,
    /// Schema of the scope.
    pub scope_schema_url: String,
    /// `service.name` of the resource, or `unknown_service`.
    pub service: String,
}

impl Origin {
    /// An origin with its service looked up.
    pub fn new(
        (device, epoch): (&Arc<str>, u64),
        resource: Option<&Resource>,
        resource_schema_url: &str,
        scope: Option<&InstrumentationScope>,
        scope_schema_url: &str,
    ) -> Arc<Self> {
        let resource = resource.cloned().unwrap_or_default();
        let service = match find(&resource.attributes, "service.name") {
            Some(Value::StringValue(name)) if !name.is_empty() => name.clone(),
            _ => UNKNOWN_SERVICE.to_owned(),
        };
        Arc::new(Self {
            device: Arc::clone(device),
            epoch,
            resource,
            resource_schema_url: resource_schema_url.to_owned(),
            scope: scope.cloned().unwrap_or_default(),
            scope_schema_url: scope_schema_url.to_owned(),
            service,
        })
    }

    pub(crate) fn to_row(&self) -> OriginRow {
        OriginRow {
            device: self.device.to_string(),
            epoch: self.epoch,
            resource: Some(self.resource.clone()),
            resource_schema_url: self.resource_schema_url.clone(),
            scope: Some(self.scope.clone()),
            scope_schema_url: self.scope_schema_url.clone(),
        }
    }

    pub(crate) fn from_row(row: &OriginRow) -> Arc<Self> {
        Self::new(
            (&Arc::from(row.device.as_str()), row.epoch),
            row.resource.as_ref(),
            &row.resource_schema_url,
            row.scope.as_ref(),
            &row.scope_schema_url,
        )
    }
}

/// The value of the first attribute with this key.
pub fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

/// An attribute's value as text, when it is a string.
pub fn find_text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match find(attributes, key) {
        Some(Value::StringValue(text)) => Some(text),
        _ => None,
    }
}
