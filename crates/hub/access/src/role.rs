//! What a principal may do.

use serde::{Deserialize, Serialize};

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It asks for stored records, or for what the hub counts.
    Read,
    /// It brings records: OTLP, and the link of devices.
    Send,
    /// It changes what a device does.
    Operate,
    /// It sees or changes who may do what.
    Administer,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Send, Self::Operate, Self::Administer];
}

/// What a principal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Asks: people who look, and programs such as Grafana.
    Viewer,
    /// Brings records, and nothing else: devices and OTLP exporters.
    Sender,
    /// Asks, and changes what devices do.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Sender, Self::Operator, Self::Admin];

    /// Its name in files and commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Sender => "sender",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether it may do something.
    pub fn may(self, action: Action) -> bool {
        match self {
            Self::Viewer => action == Action::Read,
            Self::Sender => action == Action::Send,
            Self::Operator => matches!(action, Action::Read | Action::Operate),
            Self::Admin => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: each role wants each action. Guarantees: who brings records cannot read them, who reads cannot bring any, and only
    /// admins do everything (P10).
    #[test]
    fn roles_may_do_what_they_are_for() {
        let may = |role: Role| Action::ALL.map(|action| role.may(action));
        assert_eq!(may(Role::Viewer), [true, false, false, false]);
        assert_eq!(may(Role::Sender), [false, true, false, false]);
        assert_eq!(may(Role::Operator), [true, false, true, false]);
        assert_eq!(may(Role::Admin), [true; 4]);
        assert!(Role::ALL.iter().all(|role| Role::from_name(role.name()) == Some(*role)));
        assert_eq!(Role::from_name("root"), None);
    }
}
