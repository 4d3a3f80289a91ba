"""Microsoft's own clients, doing what the bridge does.

Usage: peer.py KIND, with everything else in the environment, see tests/it/official_clients.rs. Signs in as KIND says
against a simulator of Azure, reads one alert, and for KIND `secret` also lists, changes and reads the history. What the
clients made of the answers is printed as JSON.
"""

import json
import os
import sys

import msal
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure.mgmt.alertsmanagement import AlertsManagementClient
from azure.mgmt.alertsmanagement.models import Comments

AZURE = os.environ["PEER_AZURE"]
TENANT = os.environ["PEER_TENANT"]
CLIENT = os.environ["PEER_CLIENT"]
SUBSCRIPTION = os.environ["PEER_SUBSCRIPTION"]
ALERT = os.environ["PEER_ALERT"]
FOLDER = os.environ["PEER_FOLDER"]
SCOPE = "https://management.azure.com/.default"
ENTRA = {"authority": AZURE, "disable_instance_discovery": True}


def credential(kind):
    if kind == "secret":
        return ClientSecretCredential(TENANT, CLIENT, os.environ["PEER_SECRET"], **ENTRA)
    if kind == "certificate":
        return CertificateCredential(TENANT, CLIENT, os.path.join(FOLDER, "app.pem"), **ENTRA)
    if kind == "federated":
        token = os.path.join(FOLDER, "token")
        return WorkloadIdentityCredential(tenant_id=TENANT, client_id=CLIENT, token_file_path=token, **ENTRA)
    if kind == "system_identity":
        return ManagedIdentityCredential()
    name, _, value = kind.partition("=")
    if name == "client_id":
        return ManagedIdentityCredential(client_id=value)
    return ManagedIdentityCredential(identity_config={name: value})


def by_msal():
    """CertificateCredential names a certificate by its SHA-1; the library below it also by its SHA-256."""
    def read(name):
        with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
            return file.read()

    app = msal.ConfidentialClientApplication(
        CLIENT,
        authority=f"{AZURE}/{TENANT}",
        client_credential={"private_key": read("key.pem"), "public_certificate": read("certificate.pem")},
        instance_discovery=False,
    )
    answer = app.acquire_token_for_client(scopes=[SCOPE])
    return {"token_type": answer.get("token_type"), "error": answer.get("error_description")}


def alert(model):
    essentials = model.properties.essentials
    return {
        "id": model.id,
        "name": model.name,
        "severity": essentials.severity,
        "state": essentials.alert_state,
        "condition": essentials.monitor_condition,
        "signal": essentials.signal_type,
        "target": essentials.target_resource_name,
        "started": essentials.start_date_time.isoformat(),
    }


def main(kind):
    if kind == "msal":
        return by_msal()
    client = AlertsManagementClient(credential(kind), SUBSCRIPTION, base_url=AZURE)
    if kind != "secret":
        return {"read": alert(client.alerts.get_by_id(ALERT))}
    return {
        "listed": [alert(found) for found in client.alerts.get_all(page_count=1, time_range="1d")],
        "read": alert(client.alerts.get_by_id(ALERT)),
        "changed": alert(client.alerts.change_state(ALERT, "Acknowledged", Comments(comments=os.environ["PEER_COMMENT"]))),
        "history": [
            {
                "event": item.modification_event,
                "old": item.old_value,
                "new": item.new_value,
                "comments": item.comments,
            }
            for item in client.alerts.get_history(ALERT).properties.modifications
        ],
    }


print(json.dumps(main(sys.argv[1])))
