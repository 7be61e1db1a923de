//! The reasons of refusals and ends, as label values.

use http::StatusCode;

use crate::api::refusal::Unavailable;
use crate::hub::shard::EndReason;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalCause {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    Method,
    Timeout,
    TooLarge,
    MediaType,
    Defect,
    Stopping,
    Keys,
    QueueFull,
    History,
    Crowded,
    Full,
    Share,
    MatchCost,
    Memory,
}

impl RefusalCause {
    /// Every cause, in the order of their numbers.
    pub(super) const ALL: [Self; 18] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Method,
        Self::Timeout,
        Self::TooLarge,
        Self::MediaType,
        Self::Defect,
        Self::Stopping,
        Self::Keys,
        Self::QueueFull,
        Self::History,
        Self::Crowded,
        Self::Full,
        Self::Share,
        Self::MatchCost,
        Self::Memory,
    ];

    /// The cause of a refusal with this status.
    pub(super) fn of(status: StatusCode, unavailable: Option<Unavailable>) -> Self {
        match (status, unavailable) {
            (_, Some(Unavailable::Stopping)) => Self::Stopping,
            (_, Some(Unavailable::Keys)) => Self::Keys,
            (_, Some(Unavailable::Queue)) => Self::QueueFull,
            (_, Some(Unavailable::History)) => Self::History,
            (_, Some(Unavailable::Crowded)) => Self::Crowded,
            (_, Some(Unavailable::Connections)) => Self::Full,
            (_, Some(Unavailable::ClientLimit)) => Self::Share,
            (_, Some(Unavailable::MatchCost)) => Self::MatchCost,
            (_, Some(Unavailable::Memory)) => Self::Memory,
            (StatusCode::UNAUTHORIZED, _) => Self::Unauthorized,
            (StatusCode::FORBIDDEN, _) => Self::Forbidden,
            (StatusCode::NOT_FOUND, _) => Self::NotFound,
            (StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED, _) => Self::Method,
            (StatusCode::REQUEST_TIMEOUT, _) => Self::Timeout,
            (
                StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::URI_TOO_LONG
                | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                _,
            ) => Self::TooLarge,
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, _) => Self::MediaType,
            (StatusCode::INTERNAL_SERVER_ERROR, _) => Self::Defect,
            // All others break a rule of HTTP or of the protocol.
            _ => Self::BadRequest,
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::MediaType => "media_type",
            Self::Defect => "defect",
            Self::Stopping => "stopping",
            Self::Keys => "keys",
            Self::QueueFull => "queue_full",
            Self::History => "history",
            Self::Crowded => "crowded",
            Self::Full => "full",
            Self::Share => "share",
            Self::MatchCost => "match_cost",
            Self::Memory => "memory",
        }
    }
}

/// Why a subscription ended.
pub(super) fn end_label(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Gone => "gone",
        EndReason::Expired => "expired",
        EndReason::Stalled => "stalled",
        EndReason::HistoryGap => "history_gap",
        EndReason::HistoryUnreadable => "history_unreadable",
        EndReason::Drained => "drained",
        EndReason::Shed => "memory",
        EndReason::KeyWithdrawn => "key_withdrawn",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The index in [`RefusalCause::ALL`] is the index of the counter.
    #[test]
    fn every_cause_has_its_place_and_a_label_of_its_own() {
        for (place, cause) in RefusalCause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, place, "{cause:?}");
        }
        for (place, reason) in EndReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{reason:?}");
        }
        let labels: HashSet<_> = RefusalCause::ALL.into_iter().map(RefusalCause::label).collect();
        assert_eq!(labels.len(), RefusalCause::ALL.len());
        let labels: HashSet<_> = EndReason::ALL.into_iter().map(end_label).collect();
        assert_eq!(labels.len(), EndReason::ALL.len());
    }

    #[test]
    fn what_is_unavailable_is_told_apart_though_clients_see_one_status() {
        let lacks = [
            Unavailable::Stopping,
            Unavailable::Keys,
            Unavailable::Queue,
            Unavailable::History,
            Unavailable::Crowded,
            Unavailable::Connections,
            Unavailable::MatchCost,
            Unavailable::Memory,
        ];
        let causes: Vec<_> = lacks
            .map(|unavailable| RefusalCause::of(StatusCode::SERVICE_UNAVAILABLE, Some(unavailable)).label())
            .into();
        assert_eq!(
            causes,
            ["stopping", "keys", "queue_full", "history", "crowded", "full", "match_cost", "memory"]
        );
        assert_eq!(
            RefusalCause::of(StatusCode::TOO_MANY_REQUESTS, Some(Unavailable::ClientLimit)),
            RefusalCause::Share
        );
        assert_eq!(RefusalCause::of(StatusCode::EXPECTATION_FAILED, None), RefusalCause::BadRequest);
        assert_eq!(RefusalCause::of(StatusCode::URI_TOO_LONG, None), RefusalCause::TooLarge);
    }
}
