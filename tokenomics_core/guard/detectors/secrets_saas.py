"""Keys of payments, messaging, mail, shops, and other services that programs call."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from tokenomics_core.guard.detector import Detector, Shape
from tokenomics_core.guard.detectors._secret_checks import (
    HEX,
    discord_token,
    has_length,
    hexadecimal,
    random_looking,
)
from tokenomics_core.guard.detectors._secret_shapes import (
    AFTER,
    ALNUM32,
    ALNUM40,
    HEX32,
    HEX40,
    HEX64,
    URL_SAFE,
    UUID,
    context_key,
    key,
    sample,
)

_LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
_A_UUID = "5f0c9d1e-2b7a-4c36-8e9f-a1b2c3d4e5f6"
_BOT = urlsafe_b64encode(b"123456789012345678").decode()
_MAPBOX = urlsafe_b64encode(b'{"u":"example","a":"' + sample(25).encode() + b'"}').decode().rstrip("=")


def _url(name: str, label: str, pattern: str, found: str, clean: str) -> Detector:
    """A webhook: who knows its address may post."""
    return Detector(
        name,
        label,
        "secret",
        (Shape(pattern, check=random_looking, valid=0.95, invalid=0.3),),
        family="api_key",
        found=(found, f'{{\\"url\\": \\"{found}\\"}}', f"post to {found}."),
        clean=(clean, f"{clean}{'x' * 20}", f"the {label} goes here"),
    )


DETECTORS = (
    key(
        "slack_token",
        "Slack Token",
        r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{16,}",
        "xo" + "xb-" + "123456789012-1234567890123-" + sample(24),
    ),
    key(
        "slack_app_token",
        "Slack App Token",
        r"xapp-[0-9]-[A-Z0-9]+-[0-9]+-[A-Za-z0-9]{20,}",
        "xa" + "pp-1-A0123456789-1234567890123-" + sample(64, HEX),
    ),
    key(
        "slack_refresh_token",
        "Slack Refresh Token",
        r"xoxe-[0-9]-[A-Za-z0-9]{40,}",
        "xo" + "xe-1-" + sample(146),
    ),
    _url(
        "slack_webhook",
        "Slack Webhook",
        r"https://hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{40,}",
        "«https://hooks.slack.com/" + "services/T01234567/B01234567/" + sample(24) + "»",
        "https://hooks.slack.com/services/",
    ),
    _url(
        "teams_webhook",
        "Microsoft Teams Webhook",
        r"https://[a-z0-9-]+\.webhook\.office\.com/webhookb2/[A-Za-z0-9@/-]{60,}",
        f"«https://contoso.webhook.office.com/webhookb2/{_A_UUID}@{_A_UUID}"
        f"/IncomingWebhook/{sample(32, HEX)}/{_A_UUID}»",
        "https://example.webhook.office.com/webhookb2/",
    ),
    key(
        "discord_bot_token",
        "Discord Bot Token",
        r"[MNO][A-Za-z0-9_-]+\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}",
        f"{_BOT}.{sample(6)}.{sample(38)}",
        check=discord_token,
        invalid=0.3,
    ),
    _url(
        "discord_webhook",
        "Discord Webhook",
        r"https://(?:[a-z]+\.)?discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/[0-9]{15,}/[A-Za-z0-9_-]{40,}",
        "«https://discord.com/api/" + "webhooks/123456789012345678/" + sample(68, URL_SAFE) + "»",
        "https://discord.com/api/webhooks/123456789012345678",
    ),
    key(
        "telegram_bot_token",
        "Telegram Bot Token",
        r"[0-9]+:AA[A-Za-z0-9_-]{32,}",
        "123456789:" + "AA" + sample(33, URL_SAFE),
        check=has_length(range(42, 48), random_looking),
    ),
    key(
        "stripe_key",
        "Stripe Secret Key",
        r"(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{16,}",
        "sk_" + "live_" + sample(24),
        clean=("sk_live_" + "x" * 24,),
    ),
    key(
        "stripe_webhook_secret",
        "Stripe Webhook Secret",
        r"whsec_[A-Za-z0-9+/]{24,}={0,2}",
        "wh" + "sec_" + sample(32),
    ),
    key(
        "square_token",
        "Square Token",
        r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,}|EAAA[A-Za-z0-9_-]{60}",
        "sq0" + "atp-" + sample(22),
    ),
    key(
        "braintree_token",
        "PayPal Braintree Token",
        r"access_token\x24(?:production|sandbox)\x24[0-9a-z]{16}\x24[0-9a-f]{32}",
        "access_token" + "$production$" + sample(16, _LOWER) + "$" + sample(32, HEX),
    ),
    context_key(
        "paypal_secret", "PayPal Secret", AFTER + r"(E[A-Za-z0-9_-]{79})", ("paypal",), "E" + sample(79)
    ),
    key(
        "adyen_key",
        "Adyen API Key",
        r"AQE[a-z]h[A-Za-z0-9+/]{60,}={0,2}(?:-[A-Za-z0-9+/=]+-[^\s\"'`<>\\]+)?",
        "AQE" + "xh" + sample(80),
    ),
    key(
        "plaid_token",
        "Plaid Token",
        r"access-(?:sandbox|development|production)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "access-" + "production-" + _A_UUID,
    ),
    context_key(
        "plaid_secret", "Plaid Secret", r"\b([0-9a-f]{30})\b", ("plaid",), sample(30, HEX), check=hexadecimal
    ),
    context_key("coinbase_secret", "Coinbase Secret", HEX64, ("coinbase",)),
    key(
        "flutterwave_key",
        "Flutterwave Secret Key",
        r"FLWSECK(?:_TEST)?-[A-Za-z0-9]{12,}(?:-X)?",
        "FLW" + "SECK-" + sample(32, HEX) + "-X",
    ),
    key("razorpay_key", "Razorpay Key", r"rzp_(?:live|test)_[A-Za-z0-9]{14,}", "rzp_" + "live_" + sample(14)),
    key("gocardless_token", "GoCardless Token", r"live_[A-Za-z0-9_-]{40}", "live_" + sample(40)),
    key(
        "shopify_token",
        "Shopify Token",
        r"shp(?:at|ca|pa|ss|rt|tka)_[0-9a-fA-F]{32}",
        "shp" + "at_" + sample(32, HEX),
    ),
    key("easypost_key", "EasyPost API Key", r"EZ[AT]K[A-Za-z0-9]{54}", "EZ" + "AK" + sample(54)),
    key(
        "shippo_token",
        "Shippo Token",
        r"shippo_(?:live|test)_[0-9a-f]{40}",
        "shippo_" + "live_" + sample(40, HEX),
    ),
    key(
        "duffel_token",
        "Duffel Token",
        r"duffel_(?:test|live)_[A-Za-z0-9_-]{40,}",
        "duffel_" + "live_" + sample(43),
    ),
    Detector(
        "twilio_key",
        "Twilio API Key",
        "secret",
        (Shape(r"\b((?:SK|AC)[0-9a-f]{32})\b", check=hexadecimal, valid=0.6),),
        near=("twilio",),
        family="api_key",
        found=(
            '{"sid": "«AC' + sample(32, HEX) + '»"}',
            "TWILIO_API_KEY=«SK" + sample(32, HEX) + "»",
            "«SK" + sample(32, HEX) + "» is it",
        ),
        clean=(
            "SK" + sample(31, HEX),
            "MASK" + sample(32, HEX),
            "SK" + "0" * 32,
        ),
    ),
    context_key("twilio_auth_token", "Twilio Auth Token", HEX32, ("twilio",)),
    key(
        "sendgrid_key",
        "SendGrid API Key",
        r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{40,}",
        "SG" + "." + sample(22) + "." + sample(43),
    ),
    key(
        "mailgun_key",
        "Mailgun API Key",
        r"key-[0-9a-f]{32}|[0-9a-f]+-[0-9a-f]{8}-[0-9a-f]{8}",
        "key-" + sample(32, HEX),
        check=has_length([36, 50], hexadecimal),
    ),
    key(
        "mailchimp_key",
        "Mailchimp API Key",
        r"[0-9a-f]+-us[0-9]{1,2}",
        sample(32, HEX) + "-us" + "12",
        check=has_length([36, 37], hexadecimal),
    ),
    context_key(
        "mandrill_key",
        "Mandrill API Key",
        AFTER + r"(md-[A-Za-z0-9_-]{22})",
        ("mandrill", "mailchimp"),
        "md-" + sample(22),
    ),
    key(
        "brevo_key",
        "Brevo API Key",
        r"x(?:keysib|smtpsib)-[0-9a-f]{64}-[A-Za-z0-9]{16}",
        "xkey" + "sib-" + sample(64, HEX) + "-" + sample(16),
    ),
    key(
        "resend_key",
        "Resend API Key",
        r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}",
        "re_" + sample(8) + "_" + sample(24),
    ),
    context_key("postmark_token", "Postmark Token", UUID, ("postmark",)),
    context_key("sparkpost_key", "SparkPost API Key", HEX40, ("sparkpost",)),
    key("linear_key", "Linear API Key", r"lin_(?:api|oauth)_[A-Za-z0-9]{40,}", "lin_" + "api_" + sample(40)),
    key(
        "notion_token",
        "Notion Token",
        r"ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43}",
        "nt" + "n_" + "12345678901" + sample(35),
    ),
    key(
        "airtable_token",
        "Airtable Token",
        r"pat[A-Za-z0-9]{14}\.[0-9a-f]{60,}",
        "pat" + sample(14) + "." + sample(64, HEX),
    ),
    context_key(
        "airtable_legacy_key",
        "Airtable API Key",
        r"\b(key[A-Za-z0-9]{14})\b",
        ("airtable",),
        "key" + sample(14),
        check=random_looking,
    ),
    key("figma_token", "Figma Token", r"fig[duro]r?_[A-Za-z0-9_-]{36,}", "fig" + "d_" + sample(40)),
    key(
        "asana_token",
        "Asana Token",
        r"[0-2]/[0-9]{12,}(?:/[0-9]{12,})?:[0-9a-f]{32}",
        "2/" + "1200000000000001/1200000000000002:" + sample(32, HEX),
    ),
    key(
        "clickup_token",
        "ClickUp Token",
        r"pk_[0-9]{6,}_[A-Z0-9]{32}",
        "pk_" + "12345678_" + sample(32, _LOWER.upper()),
    ),
    key(
        "typeform_token",
        "Typeform Token",
        r"tfp_[A-Za-z0-9_.-]{40,}",
        "tf" + "p_" + sample(44) + "_" + sample(14),
    ),
    key(
        "hubspot_token",
        "HubSpot Token",
        r"pat-(?:na|eu|ap)[0-9]-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "pat-" + "na1-" + _A_UUID,
    ),
    key("contentful_token", "Contentful Token", r"CFPAT-[A-Za-z0-9_-]{43}", "CF" + "PAT-" + sample(43)),
    context_key(
        "intercom_token",
        "Intercom Token",
        r"\b(dG9rO[A-Za-z0-9+/]{50,}={0,2})",
        ("intercom",),
        "dG9rO" + sample(55),
    ),
    context_key("zendesk_token", "Zendesk Token", ALNUM40, ("zendesk",)),
    context_key("freshdesk_key", "Freshdesk API Key", r"\b([A-Za-z0-9]{20})\b", ("freshdesk",), sample(20)),
    context_key(
        "okta_token", "Okta API Token", AFTER + r"(00[A-Za-z0-9_-]{40})", ("okta", "ssws"), "00" + sample(40)
    ),
    context_key(
        "auth0_secret",
        "Auth0 Client Secret",
        AFTER + r"([A-Za-z0-9_-]{64,})",
        ("auth0",),
        sample(64),
        check=has_length([64]),
    ),
    key(
        "workos_key",
        "WorkOS API Key",
        r"sk_(?:live|test)_[A-Za-z0-9]{40,}|sk_example_[A-Za-z0-9]{20,}",
        "sk_" + "test_" + sample(48),
    ),
    key(
        "dropbox_token",
        "Dropbox Token",
        r"sl\.(?:u\.)?[A-Za-z0-9_-]{100,}",
        "sl." + "u." + sample(135, URL_SAFE),
    ),
    context_key("algolia_key", "Algolia API Key", HEX32, ("algolia",)),
    key(
        "mapbox_token",
        "Mapbox Secret Token",
        r"sk\.eyJ[A-Za-z0-9_-]{40,}\.[A-Za-z0-9_-]{20,}",
        f"sk.{_MAPBOX}.{sample(22)}",
    ),
    key("facebook_token", "Facebook Access Token", r"EAA[A-Za-z0-9]{90,}", "EA" + "A" + sample(140)),
    key(
        "twitter_bearer",
        "Twitter Bearer Token",
        r"AAAAAAAAAAAAAAAAAAAAA[A-Za-z0-9%]{50,}",
        "A" * 22 + sample(80),
    ),
    key(
        "firebase_server_key",
        "Firebase Server Key",
        r"AAAA[A-Za-z0-9_-]{7}:APA91b[A-Za-z0-9_-]{120,}",
        "AAAA" + sample(7) + ":APA" + "91b" + sample(134, URL_SAFE),
    ),
    key("adobe_secret", "Adobe Client Secret", r"p8e-[A-Za-z0-9_-]{32}", "p8" + "e-" + sample(32)),
    key("frameio_token", "Frame.io Token", r"fio-u-[A-Za-z0-9_=-]{64}", "fio-" + "u-" + sample(64)),
    key(
        "lob_key",
        "Lob API Key",
        r"(?:live|test)_(?:pub_)?[0-9a-f]{35}",
        "live_" + sample(35, HEX),
        check=hexadecimal,
    ),
    key("adafruit_key", "Adafruit IO Key", r"aio_[A-Za-z0-9]{28}", "ai" + "o_" + sample(28)),
    key(
        "maxmind_key",
        "MaxMind License Key",
        r"[A-Za-z0-9]+_[A-Za-z0-9]+_mmk",
        sample(6) + "_" + sample(29) + "_mmk",
        check=has_length([40]),
    ),
    key("posthog_key", "PostHog Personal Key", r"ph[xs]_[A-Za-z0-9]{40,}", "ph" + "x_" + sample(43)),
    context_key("segment_key", "Segment Write Key", ALNUM32, ("segment", "rudderstack")),
    context_key("openweather_key", "OpenWeather API Key", HEX32, ("openweather", "openweathermap", "owm")),
    context_key("infura_key", "Infura API Key", HEX32, ("infura",)),
    context_key(
        "alchemy_key",
        "Alchemy API Key",
        AFTER + r"([A-Za-z0-9_-]{32,})",
        ("alchemy", "alchemyapi"),
        sample(32),
        check=has_length([32]),
    ),
    context_key(
        "etherscan_key",
        "Etherscan API Key",
        r"\b([A-Z0-9]{34})\b",
        ("etherscan", "bscscan", "polygonscan"),
        sample(34, _LOWER.upper()),
        check=random_looking,
    ),
)
