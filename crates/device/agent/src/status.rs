//! `status`: the running agent, asked on its admin address.

use config::Config;

use crate::{Failure, print, socket};

pub(crate) fn get(config: &Config, path: &str) -> Result<String, Failure> {
    let address = admin_address(config);
    socket::on_network(&address, path).map_err(|error| {
        Failure::unwell(format!(
            "no agent answers on {address}: {error}; is `lightship run` up with this configuration?"
        ))
    })
}

/// Prints the agent's status, for people or as JSON.
pub(crate) fn show(config: &Config, json: bool) -> Result<(), Failure> {
    print(&get(config, if json { "/status" } else { "/status?format=text" })?)?;
    let health = get(config, "/healthz")?;
    if !health.contains("\"ok\"") {
        return Err(Failure::unwell(format!("the agent is not well: {}", health.trim())));
    }
    let ready = get(config, "/readyz")?;
    match ready.contains("\"ready\"") {
        true => Ok(()),
        false => Err(Failure::unwell(format!("the agent runs, and an operator has to act: {}", ready.trim()))),
    }
}

/// Where the agent says that it listens; where it was told to, when it says nothing.
fn admin_address(config: &Config) -> String {
    let written = std::fs::read_to_string(config.data_dir.join("addresses.json")).unwrap_or_default();
    let stated = written.split("\"admin\":\"").nth(1).and_then(|rest| rest.split('"').next());
    stated.map_or_else(|| config.admin.listen.to_string(), str::to_owned)
}
