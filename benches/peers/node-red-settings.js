// Nothing but the flow: no editor, no palette, no telemetry.
module.exports = {
    flowFile: "flows.json",
    uiHost: "127.0.0.1",
    uiPort: @PORT@,
    httpAdminRoot: false,
    credentialSecret: false,
    telemetry: { enabled: false, updateNotification: false },
    externalModules: { autoInstall: false, palette: { allowInstall: false }, modules: { allowInstall: false } },
    logging: { console: { level: "warn", metrics: false, audit: false } },
};
