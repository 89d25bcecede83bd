//! Schemas of the words and times that lower layers put into answers: they know nothing of OpenAPI, so it is said here.

use crate::{
    base::UnixMicros,
    catalog::{StreamRole, System},
    media::GapCause,
};
use std::borrow::Cow;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type},
};

impl PartialSchema for UnixMicros {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(format))
            .description(Some("RFC 3339; answers give UTC with microseconds"))
            .examples(["2026-11-23T08:00:00.000000Z"])
            .into()
    }
}

impl ToSchema for UnixMicros {
    fn name() -> Cow<'static, str> {
        "Time".into()
    }
}

/// A closed set of words.
macro_rules! words {
    ($type:ident, $name:literal, $description:literal, $all:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some($description))
                    .enum_values(Some($all.map($type::name)))
                    .into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    };
}

words!(
    StreamRole,
    "Stream",
    "One of a camera's two feeds",
    [StreamRole::Main, StreamRole::Sub]
);
words!(
    System,
    "System",
    "Whose camera it is",
    [System::SmartCity, System::Public]
);
words!(
    GapCause,
    "GapCause",
    "Why recording was interrupted",
    GapCause::ALL
);
