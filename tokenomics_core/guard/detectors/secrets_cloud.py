"""Keys of clouds, hosting, and databases as a service."""

from __future__ import annotations

from base64 import b64encode

from tokenomics_core.guard.detector import Detector, Shape
from tokenomics_core.guard.detectors._secret_checks import (
    HEX,
    decodes_to,
    dense,
    has_length,
    hexadecimal,
    random_looking,
)
from tokenomics_core.guard.detectors._secret_shapes import (
    AFTER,
    HEX64,
    RUN40,
    URL_SAFE,
    UUID,
    context_key,
    key,
    sample,
)

_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_KEY_64 = b64encode(sample(64).encode()).decode()
_KEY_32 = b64encode(sample(32).encode()).decode()
_SIGNATURE = sample(20) + "%2B" + sample(20) + "%2F" + "b%3D"

DETECTORS = (
    key(
        "google_oauth_secret",
        "Google OAuth Client Secret",
        r"GOCSPX-[A-Za-z0-9_-]{20,}",
        "GOC" + "SPX-" + sample(28),
    ),
    key(
        "google_oauth_token",
        "Google OAuth Token",
        r"ya29\.[A-Za-z0-9_-]{20,}",
        "ya" + "29." + sample(120, URL_SAFE),
    ),
    key(
        "google_refresh_token",
        "Google Refresh Token",
        r"1//0[A-Za-z0-9_-]{40,}",
        "1/" + "/0" + sample(60, URL_SAFE),
    ),
    Detector(
        "gcp_service_account",
        "Google Service Account Key",
        "secret",
        (
            Shape(
                r'private_key\\{0,3}"\s{0,4}:\s{0,4}\\{0,3}"'
                r'(-----BEGIN PRIVATE KEY-----[^"-]+-----END PRIVATE KEY-----)',
                score=1.0,
            ),
        ),
        family="api_key",
        found=(
            '{"private_key": "«-----BEGIN PRIVATE KEY-----\\n'
            + sample(64)
            + '\\n-----END PRIVATE KEY-----»\\n"}',
            '"private_key" : "«-----BEGIN PRIVATE KEY-----' + sample(64) + '-----END PRIVATE KEY-----»"',
            '{"private_key": "«-----BEGIN PRIVATE KEY-----\\n'
            + sample(64)
            + '\\n-----END PRIVATE KEY-----»\\n"}',
        ),
        clean=(
            '"private_key_id": "' + sample(40, HEX) + '"',
            '"private_key": null',
            '"private_key": "see the vault"',
        ),
    ),
    Detector(
        "azure_storage_key",
        "Azure Storage Key",
        "secret",
        (
            Shape(r"(?i:accountkey)\s?=\s?([A-Za-z0-9+/]{40,}={0,2})", check=decodes_to(64, 32), invalid=0.6),
            Shape(r"[A-Za-z0-9+/]+[+]ASt[A-Za-z0-9+/]{5}[AQgw]==", check=has_length([88]), valid=0.95),
        ),
        family="api_key",
        found=(
            f"AccountKey = «{_KEY_64}»",
            f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey=«{_KEY_64}»;EndpointSuffix=core.windows.net",
            "key: «" + sample(76) + "+A" + "St" + sample(5) + "Q==»",
        ),
        clean=("AccountName=storage;AccountKey=", "AccountKey=<your key>", "AccountKey={key}"),
    ),
    Detector(
        "azure_shared_access_key",
        "Azure Shared Access Key",
        "secret",
        (
            Shape(
                r"(?i:sharedaccesskey)\s?=\s?([A-Za-z0-9+/]{40,}={0,2})",
                check=decodes_to(32, 64),
                invalid=0.6,
            ),
        ),
        family="api_key",
        found=(
            f"sharedaccesskey=«{_KEY_32}»",
            f"HostName=x;SharedAccessKey = «{_KEY_64}»",
            f"Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=a;SharedAccessKey=«{_KEY_32}»",
        ),
        clean=(
            "SharedAccessKey={key}",
            "SharedAccessKey=REPLACE",
            "SharedAccessKeyName=RootManageSharedAccessKeyForEverybodyInHere",
        ),
    ),
    Detector(
        "azure_sas",
        "Azure SAS Signature",
        "secret",
        (
            Shape(
                r"(?:[?&;]|u0026)sig=([A-Za-z0-9%+/_-]{40,}=?)", check=random_looking, valid=0.9, invalid=0.3
            ),
        ),
        family="api_key",
        found=(
            f"?sig=«{_SIGNATURE}»",
            f"https://x?sv=1\u0026sig=«{_SIGNATURE}»",
            f"https://x.blob.core.windows.net/c?sv=2023&se=2030&sig=«{_SIGNATURE}»&sp=r",
        ),
        clean=("design=" + sample(50), "https://example.com/?sig=abc", "sig=" + "x" * 50),
    ),
    key(
        "azure_client_secret",
        "Azure Client Secret",
        r"[A-Za-z0-9_~.-]+[0-9]Q~[A-Za-z0-9_~.-]{31,}",
        "aB3" + "8Q~" + sample(34),
        check=has_length(range(37, 41), random_looking),
    ),
    key(
        "azure_service_key",
        "Azure Service Key",
        r"[A-Za-z0-9]+JQQJ9[9D][A-Za-z0-9]{20,}",
        sample(52) + "JQQ" + "J99" + "BCACYeBjF" + "XJ3w3AAABACOG" + "aB3d",
        check=has_length([84]),
    ),
    Detector(
        "azure_marked_key",
        "Azure Key",
        "secret",
        (
            Shape(
                r"([A-Za-z0-9+/_-]+(?:AzFu|ACDb|AzSe|[+]ACR|[+]AEh|[+]AIo|[+]ARm)"
                r"[A-Za-z0-9+/_-]{5,9}={0,2})",
                check=has_length(range(50, 97)),
            ),
        ),
        family="api_key",
        found=(
            "cosmos: «" + sample(76) + "AC" + "Db" + sample(5) + "Q==»",
            'registry "«' + sample(42) + "+AC" + "R" + sample(6) + '»"',
            "key=«" + sample(44) + "Az" + "Fu" + sample(5) + "Q==»",
        ),
        clean=(
            "AzSearch",
            "a " + sample(60),
            "AzFunctions are here",
        ),
    ),
    key("alibaba_key", "Alibaba Cloud Access Key", r"LTAI[A-Za-z0-9]{12,}", "LT" + "AI5t" + sample(20)),
    key("tencent_key", "Tencent Cloud Secret Id", r"AKID[A-Za-z0-9]{13,}", "AK" + "ID" + sample(32)),
    key("volcengine_key", "Volcengine Access Key", r"AKLT[A-Za-z0-9]{30,}", "AK" + "LT" + sample(44)),
    key(
        "yandex_key",
        "Yandex Cloud Key",
        r"AQVN[A-Za-z0-9_-]{35,}|YCAJE[A-Za-z0-9_-]{20,}",
        "AQ" + "VN" + sample(36),
    ),
    context_key(
        "ibm_key",
        "IBM Cloud API Key",
        AFTER + r"([A-Za-z0-9_-]{44,})",
        ("ibm", "iam_apikey", "bluemix", "watson"),
        sample(44),
        check=has_length([44]),
    ),
    context_key("linode_token", "Linode Token", HEX64, ("linode",)),
    context_key(
        "cloudflare_token",
        "Cloudflare API Token",
        RUN40,
        ("cloudflare", "cf_api", "x-auth-key"),
        check=has_length([40]),
    ),
    context_key(
        "cloudflare_global_key",
        "Cloudflare Global API Key",
        r"\b([0-9a-f]{37})\b",
        ("cloudflare", "x-auth-key"),
        sample(37, HEX),
        check=hexadecimal,
    ),
    key(
        "cloudflare_ca_key",
        "Cloudflare Origin CA Key",
        r"v1\.0-[0-9a-f]{24}-[0-9a-f]{100,}",
        "v1.0-" + sample(24, HEX) + "-" + sample(146, HEX),
    ),
    context_key(
        "fastly_token",
        "Fastly API Token",
        AFTER + r"([A-Za-z0-9_-]{32,})",
        ("fastly",),
        sample(32),
        check=has_length([32]),
    ),
    key(
        "digitalocean_token",
        "DigitalOcean Token",
        r"do[opr]_v1_[0-9a-f]{60,}",
        "dop_" + "v1_" + sample(64, HEX),
    ),
    key("heroku_key", "Heroku API Key", r"HRKU-[A-Za-z0-9_-]{36,}", "HR" + "KU-AA" + sample(58, URL_SAFE)),
    context_key("heroku_uuid_key", "Heroku API Key", UUID, ("heroku",)),
    key("netlify_token", "Netlify Token", r"nf[pcobu]_[A-Za-z0-9]{36,}", "nfp_" + sample(36)),
    key("vercel_token", "Vercel Token", r"vc[pira]_[A-Za-z0-9]{24,}", "vcp_" + sample(56)),
    context_key("vercel_legacy_token", "Vercel Token", r"\b([A-Za-z0-9]{24})\b", ("vercel",), sample(24)),
    key("supabase_token", "Supabase Token", r"sbp_[0-9a-f]{40,}", "sbp_" + sample(40, HEX)),
    key(
        "supabase_secret_key",
        "Supabase Secret Key",
        r"sb_secret_[A-Za-z0-9_-]{22,}",
        "sb_" + "secret_" + sample(22) + "_" + sample(8),
    ),
    key(
        "planetscale_token",
        "PlanetScale Token",
        r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{30,}",
        "pscale_" + "tkn_" + sample(43),
    ),
    key(
        "neon_key", "Neon API Key", r"napi_[a-z0-9]{40,}", "napi_" + sample(64, "abcdefghijklmnop0123456789")
    ),
    key("aiven_password", "Aiven Password", r"AVNS_[A-Za-z0-9_-]{19,}", "AV" + "NS_" + sample(19)),
    key(
        "atlas_secret",
        "MongoDB Atlas Secret",
        r"mdb_sa_sk_[A-Za-z0-9_-]{36,}",
        "mdb_sa_" + "sk_" + sample(40),
    ),
    key(
        "databricks_token", "Databricks Token", r"dapi[0-9a-f]{32}(?:-[0-9])?", "da" + "pi" + sample(32, HEX)
    ),
    context_key(
        "snowflake_secret", "Snowflake Secret", AFTER + r"([A-Za-z0-9+/]{44}=?)", ("snowflake",), sample(44)
    ),
    key(
        "clickhouse_cloud_key",
        "ClickHouse Cloud Key",
        r"4b1d[A-Za-z0-9]{38}",
        "4b" + "1d" + sample(38),
        check=dense,
    ),
    context_key(
        "confluent_secret",
        "Confluent Secret",
        AFTER + r"([A-Za-z0-9+/]{64,})",
        ("confluent", "kafka"),
        sample(64),
        check=has_length([64]),
    ),
    key(
        "tailscale_key",
        "Tailscale Key",
        r"tskey-(?:auth|api|client|scim|webhook)-[A-Za-z0-9]{8,}-[A-Za-z0-9]{16,}",
        "tskey-" + "auth-" + sample(16) + "-" + sample(32),
    ),
    key(
        "fly_token",
        "Fly.io Token",
        r"(?:FlyV1 )?fm[12][ar]?_[A-Za-z0-9+/_=-]{60,}|fo1_[A-Za-z0-9_-]{43}",
        "fm2_" + sample(90),
    ),
    key("render_key", "Render API Key", r"rnd_[A-Za-z0-9]{28,}", "rnd_" + sample(32)),
    key(
        "cloudinary_url",
        "Cloudinary URL",
        r"cloudinary://[0-9]{10,}:[A-Za-z0-9_-]{20,}@[a-z0-9-]+",
        "cloudinary://" + "123456789012345:" + sample(27) + "@demo",
    ),
    context_key("scaleway_key", "Scaleway Secret Key", UUID, ("scaleway", "scw")),
    context_key(
        "vultr_key",
        "Vultr API Key",
        r"\b([A-Z0-9]{36})\b",
        ("vultr",),
        sample(36, _UPPER),
        check=random_looking,
    ),
    context_key(
        "hetzner_token", "Hetzner Cloud Token", r"\b([A-Za-z0-9]{64})\b", ("hetzner", "hcloud"), sample(64)
    ),
    context_key(
        "elastic_key",
        "Elastic API Key",
        AFTER + r"([A-Za-z0-9_-]{58}==)",
        ("elastic", "apikey"),
        sample(58) + "==",
    ),
    context_key(
        "kubernetes_bootstrap",
        "Kubernetes Bootstrap Token",
        r"\b([a-z0-9]{6}\.[a-z0-9]{16})\b",
        ("kubeadm", "bootstrap token"),
        "07401b." + "f395accd246ae52d",
        check=random_looking,
    ),
)
