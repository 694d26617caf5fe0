"""Keys of code hosting, package registries, continuous integration and what watches over programs."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode

from tokenomics_core.guard.detector import Detector, Shape
from tokenomics_core.guard.detectors._secret_checks import (
    HEX,
    base62_crc32,
    basic_credentials,
    has_length,
    json_inside,
    pypi_macaroon,
    random_looking,
)
from tokenomics_core.guard.detectors._secret_shapes import (
    AFTER,
    ALNUM32,
    HEX32,
    HEX40,
    HEX64,
    START,
    UUID,
    context_key,
    key,
    sample,
)

_LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
_UPPER = _LOWER.upper()
_PYPI = urlsafe_b64encode(b"\x02\x01\x08pypi.org\x02" + sample(75).encode()).decode().rstrip("=")
_SENTRY = b64encode(b'{"iat":1700000000.0,"url":"https://sentry.io","org":"example"}').decode()

DETECTORS = (
    key(
        "gitlab_token",
        "GitLab Token",
        r"gl(?:pat|oas|dt|rtr?|ptt|ft|soat|cbt|agent|wt|imt|ffct)-[A-Za-z0-9_.-]{20,}",
        "gl" + "pat-" + sample(20),
        clean=("glpat-" + "x" * 20, "the prefix glpat-"),
    ),
    key(
        "gitlab_runner_token",
        "GitLab Runner Token",
        r"GR1348941[A-Za-z0-9_-]{20,}",
        "GR" + "1348941" + sample(20),
    ),
    key("bitbucket_password", "Bitbucket App Password", r"ATBB[A-Za-z0-9]{28,}", "AT" + "BB" + sample(32)),
    key(
        "bitbucket_token", "Bitbucket Access Token", r"ATCTT3[A-Za-z0-9_=-]{50,}", "ATC" + "TT3" + sample(186)
    ),
    context_key("bitbucket_secret", "Bitbucket Client Secret", ALNUM32, ("bitbucket",)),
    key("atlassian_token", "Atlassian API Token", r"ATATT3[A-Za-z0-9_=-]{50,}", "ATA" + "TT3" + sample(186)),
    context_key(
        "atlassian_legacy_token",
        "Atlassian API Token",
        r"\b([A-Za-z0-9]{24})\b",
        ("atlassian", "jira", "confluence"),
        sample(24),
    ),
    key(
        "azure_devops_token",
        "Azure DevOps Token",
        r"[A-Za-z0-9]+AZDO[A-Za-z0-9]{4}",
        sample(76) + "AZ" + "DO" + sample(4),
        check=has_length([84]),
    ),
    Detector(
        "npm_token",
        "npm Token",
        "secret",
        (
            Shape(START + r"(npm_[A-Za-z0-9]{36,})", check=base62_crc32, invalid=0.8),
            Shape(r"_authToken\s?=\s?([A-Za-z0-9_-]{8}-[A-Za-z0-9-]{20,})", score=0.9),
        ),
        family="api_key",
        found=(
            f"NPM_TOKEN=«npm_{sample(36)}»",
            f"//files.example/:_authToken=«npm_{sample(36)}»",
            f"_authToken=«{sample(8, HEX)}-{sample(24, HEX)}»",
        ),
        clean=("npm_config_registry", "npm_lifecycle_event", "_authToken=${NPM_TOKEN}"),
    ),
    key(
        "pypi_token",
        "PyPI Token",
        r"pypi-AgE[A-Za-z0-9_-]{50,}",
        f"pypi-{_PYPI}",
        check=pypi_macaroon,
        valid=1.0,
        invalid=0.6,
    ),
    key("rubygems_key", "RubyGems API Key", r"rubygems_[0-9a-f]{40,}", "rubygems_" + sample(48, HEX)),
    key("crates_token", "crates.io Token", r"cio[A-Za-z0-9]{32}", "cio" + sample(32)),
    key("nuget_key", "NuGet API Key", r"oy2[a-z0-9]{43}", "oy2" + sample(43, _LOWER)),
    key("clojars_token", "Clojars Token", r"CLOJARS_[a-z0-9]{60}", "CLOJARS_" + sample(60, _LOWER)),
    key(
        "packagist_token",
        "Packagist Token",
        r"packagist_[a-z]{3}_[0-9a-f]{60,}",
        "packagist_out_" + sample(68, HEX),
    ),
    key(
        "docker_token",
        "Docker Hub Token",
        r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}",
        "dckr_" + "pat_" + sample(27),
    ),
    Detector(
        "docker_auth",
        "Docker Registry Login",
        "secret",
        (
            Shape(
                r"""["']auth\\{0,3}["']\s{0,4}:\s{0,4}\\{0,3}["']([A-Za-z0-9+/]{12,}={0,2})""",
                check=basic_credentials,
                valid=0.9,
            ),
        ),
        family="api_key",
        found=(
            '"auth":"«' + b64encode(b"me:aB3dE5gH7j").decode() + '»"',
            '{"auth": "«' + b64encode(b"someone:aB3dE5gH7j").decode() + '»"}',
            '{"auths": {"https://index.docker.io/v1/": {"auth": "«'
            + b64encode(b"me:aB3dE5gH7j").decode()
            + '»"}}}',
        ),
        clean=(
            '"auth": {"type": "oauth2"}',
            '{"auth": "required-for-all-of-it"}',
            '{"auth": "oauth2applications"}',
        ),
    ),
    key("jfrog_key", "JFrog API Key", r"AKCp[A-Za-z0-9]{60,}", "AK" + "Cp" + sample(69)),
    key("jfrog_token", "JFrog Reference Token", r"cmVmdGtuO[A-Za-z0-9]{50,}", "cmVm" + "dGtuO" + sample(55)),
    key(
        "sourcegraph_token",
        "Sourcegraph Token",
        r"sg[pd]_(?:[A-Za-z0-9]{16}_|local_)?[0-9a-f]{40}",
        "sgp_" + sample(16, HEX) + "_" + sample(40, HEX),
    ),
    key(
        "circleci_token",
        "CircleCI Token",
        r"CCI(?:PAT|PRJ)_[A-Za-z0-9]{20,}_[0-9a-f]{40}",
        "CCI" + "PAT_" + sample(22) + "_" + sample(40, HEX),
    ),
    context_key(
        "circleci_legacy_token", "CircleCI Token", HEX40, ("circleci", "circle-token", "circle_token")
    ),
    context_key("travis_token", "Travis CI Token", r"\b([A-Za-z0-9]{22})\b", ("travis",), sample(22)),
    key(
        "buildkite_token", "Buildkite Token", r"bk(?:ua|ct|at|gt|pt)_[0-9a-f]{40}", "bkua_" + sample(40, HEX)
    ),
    key(
        "harness_token",
        "Harness Token",
        r"(?:pat|sat)\.[A-Za-z0-9_-]{22}\.[0-9a-f]{24}\.[A-Za-z0-9]{20}",
        "pat." + sample(22) + "." + sample(24, HEX) + "." + sample(20),
    ),
    key("prefect_key", "Prefect API Key", r"pn[ub]_[A-Za-z0-9]{36}", "pnu_" + sample(36)),
    key("infracost_key", "Infracost API Key", r"ico-[A-Za-z0-9]{32}", "ico-" + sample(32)),
    key("sonar_token", "SonarQube Token", r"sq[upa]_[0-9a-f]{40}", "squ_" + sample(40, HEX)),
    context_key("codecov_token", "Codecov Token", UUID, ("codecov",)),
    context_key("snyk_token", "Snyk Token", UUID, ("snyk",)),
    key(
        "launchdarkly_key",
        "LaunchDarkly Key",
        r"(?:api|sdk)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "sdk-" + "5f0c9d1e-2b7a-4c36-8e9f-a1b2c3d4e5f6",
    ),
    key(
        "postman_key",
        "Postman API Key",
        r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",
        "PM" + "AK-" + sample(24, HEX) + "-" + sample(34, HEX),
    ),
    context_key("datadog_key", "Datadog API Key", HEX32, ("datadog", "dd_api", "dd-api")),
    context_key("datadog_app_key", "Datadog Application Key", HEX40, ("datadog", "dd_app", "dd-app")),
    key("datadog_app_token", "Datadog Application Key", r"ddapp_[A-Za-z0-9]{34,}", "ddapp_" + sample(34)),
    key("newrelic_key", "New Relic API Key", r"NRAK-[A-Z0-9]{27}", "NR" + "AK-" + sample(27, _UPPER)),
    key(
        "newrelic_license",
        "New Relic License Key",
        r"[0-9a-f]+NRAL|NRJS-[0-9a-f]{19}|NRI[IQ]-[A-Za-z0-9_-]{32}",
        sample(36, HEX) + "NR" + "AL",
        check=has_length([40, 24, 37], random_looking),
    ),
    key(
        "grafana_token",
        "Grafana Service Account Token",
        r"glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}",
        "gl" + "sa_" + sample(32) + "_" + sample(8, HEX),
    ),
    key(
        "grafana_cloud_token",
        "Grafana Cloud Token",
        r"glc_eyJ[A-Za-z0-9+/]{40,}={0,2}",
        "gl"
        + "c_"
        + b64encode(b'{"o":"1","n":"example-of-a-name","k":"' + sample(24).encode() + b'"}').decode(),
        check=json_inside,
    ),
    key(
        "sentry_token",
        "Sentry Token",
        r"sntrys_eyJ[A-Za-z0-9+/=_-]{80,}",
        f"sntrys_{_SENTRY}_{sample(43)}",
        check=json_inside,
        invalid=0.6,
    ),
    key("sentry_user_token", "Sentry User Token", r"sntryu_[0-9a-f]{60,}", "sntryu_" + sample(64, HEX)),
    context_key("sentry_legacy_token", "Sentry Token", HEX64, ("sentry",)),
    context_key(
        "pagerduty_key",
        "PagerDuty API Key",
        AFTER + r"([A-Za-z0-9+_-]{20,})",
        ("pagerduty", "pager_duty", "pager duty"),
        sample(20),
        check=has_length([20, 32]),
    ),
    key(
        "dynatrace_token",
        "Dynatrace Token",
        r"dt0[a-z][0-9]{2}\.[A-Z0-9]{8,24}\.[A-Z0-9]{64}",
        "dt0" + "c01." + sample(24, _UPPER) + "." + sample(64, _UPPER),
    ),
    context_key("honeycomb_key", "Honeycomb API Key", r"\b([A-Za-z0-9]{22})\b", ("honeycomb",), sample(22)),
    context_key("rollbar_token", "Rollbar Token", HEX32, ("rollbar",)),
    context_key("bugsnag_key", "Bugsnag API Key", HEX32, ("bugsnag",)),
    key("scalingo_token", "Scalingo Token", r"tk-us-[A-Za-z0-9_-]{40,}", "tk-us-" + sample(48)),
    key("readme_key", "ReadMe API Key", r"rdme_[a-z0-9]{60,}", "rdme_" + sample(70, _LOWER)),
)
