//! Users that an event names.
