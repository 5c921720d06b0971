//! What proxies do to exchanges.

use icap_client::testing::{self, CLEAN};

use crate::Random;

/// What is done to one exchange.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    CloseIdle,
    ResetUnreadRequest,
    CloseMidRequest,
    ResetMidRequest,
    CloseBeforeResponse,
    ResetBeforeResponse,
    CloseMidResponse,
    ResetMidResponse,
    CloseAfterResponse,
    ResetAfterResponse,
    Delay,
    DelayMidResponse,
    Drip,
    StrayBehind,
    StrayAtOnce,
    StrayOnIdle,
    // What follows is not drawn with the others.
    SlowDrip,
    Early,
    Busy,
    Outage,
}

impl Fault {
    pub(crate) const ALL: [Self; 20] = [
        Self::ResetUnreadRequest,
        Self::CloseMidRequest,
        Self::ResetMidRequest,
        Self::CloseBeforeResponse,
        Self::ResetBeforeResponse,
        Self::CloseMidResponse,
        Self::ResetMidResponse,
        Self::CloseAfterResponse,
        Self::ResetAfterResponse,
        Self::Delay,
        Self::DelayMidResponse,
        Self::StrayBehind,
        Self::StrayAtOnce,
        Self::Drip,
        Self::CloseIdle,
        Self::StrayOnIdle,
        Self::SlowDrip,
        Self::Early,
        Self::Busy,
        Self::Outage,
    ];

    /// Those that need an idle connection are drawn often, because they rarely find one; those that take
    /// long are drawn rarely.
    pub(crate) fn draw(random: &mut Random) -> Self {
        match random.below(16_000) {
            0..2400 => Self::CloseIdle,
            2400..4800 => Self::StrayOnIdle,
            4800..4803 => Self::SlowDrip,
            4803..4853 => Self::Drip,
            place @ 4853..6153 => Self::ALL[usize::try_from((place - 4853) / 100).unwrap()],
            _ => Self::None,
        }
    }

    pub(crate) fn explain(self) -> &'static str {
        match self {
            Self::None => "exchanges without a fault",
            Self::CloseIdle => "closed before a request",
            Self::ResetUnreadRequest => "reset when a request came",
            Self::CloseMidRequest => "closed in the middle of a request",
            Self::ResetMidRequest => "reset in the middle of a request",
            Self::CloseBeforeResponse => "closed before the response",
            Self::ResetBeforeResponse => "reset before the response",
            Self::CloseMidResponse => "closed in the middle of the response",
            Self::ResetMidResponse => "reset in the middle of the response",
            Self::CloseAfterResponse => "closed after the response",
            Self::ResetAfterResponse => "reset after the response",
            Self::Delay => "delayed the response",
            Self::DelayMidResponse => "delayed the second half of the response",
            Self::Drip => "dripped the response",
            Self::StrayBehind => "stray responses in one write with the response",
            Self::StrayAtOnce => "stray responses at once after the response",
            Self::StrayOnIdle => "stray responses on an idle connection",
            Self::SlowDrip => "dripped the response for longer than a timeout",
            Self::Early => "responded before the request was complete",
            Self::Busy => "responded 503 because no slot was free",
            Self::Outage => "closed in an outage",
        }
    }

    /// How often a full run has it at least.
    pub(crate) fn rarely(self) -> u64 {
        match self {
            Self::SlowDrip | Self::Busy | Self::Outage => 20,
            _ => 100,
        }
    }

    pub(crate) fn goes_on(self) -> bool {
        matches!(
            self,
            Self::None | Self::Delay | Self::DelayMidResponse | Self::Drip
        )
    }

    /// std cannot ask for a reset, but the system sends one when a connection is closed with bytes of
    /// the client unread. So its last byte is left.
    pub(crate) fn leaves_last_byte(self) -> bool {
        matches!(
            self,
            Self::ResetBeforeResponse | Self::ResetMidResponse | Self::ResetAfterResponse
        )
    }
}

/// A whole response that nobody asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stray {
    Clean,
    Infected,
}

impl Stray {
    pub(crate) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Clean => CLEAN.as_bytes().to_vec(),
            Self::Infected => testing::infected("STRAY"),
        }
    }
}

/// What is sent to a client that still has content to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Early {
    /// Nothing.
    None,
    Clean,
    /// What came of the content so far.
    Echo,
    Infected,
    Refused,
    /// The client went on before anything was sent.
    Expired,
}
