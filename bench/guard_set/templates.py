# ruff: noqa: E501
"""The sentences: [[v]] is the value, [[v!]] the value as it stands inside a JSON string, [[label]] what people
call it, [[field]] what programs call it. [[first]], [[last]], [[company]], [[city]], [[street]], [[domain]],
[[reference]], [[number]], [[time]], [[uuid]] belong to nobody's secret and are not labelled.
"""

from __future__ import annotations

LABELLED = {
    "en": (
        "My [[label]] is [[v]], please keep it safe.",
        "[[label]]: [[v]]",
        "Please update the [[label]] of [[first]] [[last]] to [[v]] before Friday.",
        "Hi [[first]], can you check whether [[label]] [[v]] is already in the system? Thanks!",
        "The customer gave [[label]] [[v]] when he called on [[time]].",
        "We have [[v]] on file as the [[label]] of [[first]] [[last]]. The [[label]] [[v]] has not changed.",
        "Ticket [[reference]]: caller [[last]], [[label]] [[v]], lives in [[city]].",
        "Write a letter to [[company]]. Mention the [[label]] ([[v]]) in the first paragraph.",
        "Is the [[label]] '[[v]]' valid? The form at [[domain]] says no.",
        "- name: [[first]] [[last]]\n- [[label]]: [[v]]\n- city: [[city]]",
        "| Name | [[label]] |\n|---|---|\n| [[first]] [[last]] | [[label]] [[v]] |",
        "Summarise: [[first]] [[last]] of [[company]] sent us the [[label]] [[v]] and asked for a refund of $[[number]].",
        "ok so the [[label]] is [[v]] and the order was [[reference]]",
        "Translate into French: 'Your [[label]] is [[v]].'",
        "Please redact the [[label]] **[[v]]** in the attached PDF.",
        "[[first]]: what's your [[label]]?\n[[last]]: [[label]] is [[v]]",
        "For [[company]], [[street]], [[city]]: new [[label]] = [[v]].",
        'Did [[first]] really post [[label]] "[[v]]" in the public channel?!',
    ),
    "de": (
        "Meine [[label]] lautet [[v]].",
        "[[label]]: [[v]]",
        "Bitte ändern Sie die [[label]] von [[first]] [[last]] auf [[v]].",
        "Sehr geehrte Damen und Herren, die [[label]] ist [[v]]. Mit freundlichen Grüßen, [[first]] [[last]]",
        "Der Kunde [[last]] aus [[city]] hat die [[label]] [[v]] angegeben.",
        "Kannst du prüfen, ob die [[label]] [[v]] stimmt? Vorgang [[reference]].",
        "Für [[company]] gilt ab sofort die [[label]] [[v]] (siehe Anhang).",
    ),
    "fr": (
        "Mon [[label]] est le [[v]].",
        "[[label]] : [[v]]",
        "Bonjour, merci de vérifier le [[label]] [[v]] de [[first]] [[last]].",
        "Le client [[last]] de [[city]] a donné son [[label]] : [[v]], dossier [[reference]].",
        "Veuillez remplacer le [[label]] par [[v]] pour [[company]].",
        "Pourriez-vous confirmer que le [[label]] [[v]] est correct ?",
    ),
    "es": (
        "Mi [[label]] es [[v]].",
        "[[label]]: [[v]]",
        "Hola, por favor comprueba el [[label]] [[v]] de [[first]] [[last]].",
        "La clienta [[last]] de [[city]] dio su [[label]] [[v]] por teléfono fijo.",
        "Cambie el [[label]] a [[v]] en la ficha de [[company]].",
        "¿Es correcto el [[label]] ([[v]])? Pedido [[reference]].",
    ),
}

CARRIERS = (
    '{"name": "[[first]] [[last]]", "[[field]]": "[[v!]]", "active": true}',
    '{"id": "[[uuid]]", "customer": {"[[field]]": "[[v!]]", "city": "[[city]]"}}',
    '{"[[field]]":"[[v!]]","created":[[unix]]}',
    '{"type":"function","function":{"name":"update","arguments":"{\\"[[field]]\\": \\"[[v!!]]\\"}"}}',
    '[{"[[field]]": "[[v!]]"}, {"[[field]]": null}]',
    "[[time]] INFO  [crm] request [[uuid]] [[field]]=[[v]] status=200",
    '[[time]] WARN user lookup failed: [[field]]="[[v!]]" took 18ms',
    'level=debug ts=[[unix]] msg="stored record" [[field]]=[[v]]',
    "ts=[[time]] [[field]]: [[v]]; version=1.14.2",
    "[[field]]: [[v]]\nname: [[first]]\nversion: 2.3.1\n",
    'customer:\n  name: "[[first]] [[last]]"\n  [[field]]: "[[v!]]"\n',
    "[[field]] = '[[v]]'\nprint(lookup([[field]]))",
    'const [[field]] = "[[v!]]";\nawait client.update({ [[field]] });',
    'def test_update():\n    record = Record([[field]]="[[v!]]")\n    assert record.is_valid()',
    "UPDATE customers SET [[field]] = '[[v]]' WHERE id = [[number]];",
    "INSERT INTO people (name, [[field]]) VALUES ('[[last]]', '[[v]]');",
    "name,[[field]],city\n[[last]],[[v]],[[city]]",
    "id;[[field]]\n[[number]];[[v]]",
    "<person><name>[[first]]</name><[[field]]>[[v]]</[[field]]></person>",
    '<input name="[[field]]" value="[[v]]">',
    "[[field]]\t[[v]]",
    "// TODO remove: [[field]] [[v]]",
    "# [[field]]: [[v]]",
    "POST /v1/records HTTP/1.1\nHost: api.[[domain]]\n\n[[field]]=[[v]]&page=2",
    "- [[field]]: `[[v]]`",
    '+    "[[field]]": "[[v!]]",\n-    "[[field]]": "",',
)

SECRET = (
    "I accidentally committed [[label]] [[v]] to the repository, how do I rotate it?",
    "Use [[v]] as the [[label]] for staging.",
    "here is the [[label]]: [[v]]",
    "The call fails with 401, I use the [[label]] `[[v]]`. What is wrong?",
    'Slack message from [[first]]: "pls use [[v]] until I am back"',
    "Error: request with [[v]] was rejected at [[time]]",
    "Der [[label]] ist [[v]], bitte nicht weitergeben.",
    "Voici la clé : [[v]] (ne pas partager)",
    "La clave es [[v]], cámbiala mañana.",
    "ENV [[FIELD]]=[[v!]]\nRUN npm ci",
    'export [[FIELD]]="[[v!]]"',
    "[[FIELD]]=[[v!]]\nDEBUG=false\nPORT=8080",
    'client = Client("[[v!]]", timeout=30)',
    "const key = '[[v!]]'; // [[label]]",
    "curl https://api.[[domain]]/v1/items -H 'X-Token: [[v!]]'",
    "[[field]]: [[v!]]\nregion: eu-central-1",
    '{"[[field]]": "[[v!]]", "timeout": 30}',
    '{"type":"tool_use","input":{"command":"login --token [[v!]]"}}',
    '{"arguments": "{\\"[[field]]\\": \\"[[v!!]]\\"}"}',
    "[[time]] ERROR auth: bad token [[v!]] from worker-[[number]]",
    "name,[[field]]\nstaging,[[v!]]",
    '<add key="[[field]]" value="[[v!]]" />',
    '- env:\n    - name: [[FIELD]]\n      value: "[[v!]]"',
    "git remote: using [[v!]] for [[domain]]",
    "+[[FIELD]]=[[v!]]\n-[[FIELD]]=",
    "[[v]]",
)

NPMRC = (
    "//files.example/:_authToken=[[v]]",
    "registry=https://files.example/\n//files.example/:_authToken=[[v]]\n",
)

KEY_BLOCK = (
    "Why does openssl reject this?\n[[v]]\nIt was made yesterday.",
    "[[v]]",
    '{"tls_key": "[[v!]]\\n", "name": "[[domain]]"}',
    "cat > id_rsa <<EOF\n[[v]]\nEOF\nchmod 600 id_rsa",
    'KEY="[[v!]]"',
    "[[first]] wrote:\n[[v]]\n\nPlease install it on [[domain]].",
    "```\n[[v]]\n```",
    '{"arguments": "{\\"content\\": \\"[[v!!]]\\"}"}',
)

URL = (
    "The database is at [[v]] but I cannot connect.",
    "DATABASE_URL=[[v]]",
    'DATABASE_URL="[[v]]"\nPORT=3000',
    "engine = create_engine('[[v]]')",
    '{"url": "[[v!]]", "pool": 5}',
    "[[time]] ERROR could not connect to [[v]] after 3 tries",
    "url: [[v]]\npool: 10",
    "`[[v]]`",
    "Verbinde dich mit [[v]] und lege die Tabelle an.",
    "Connecte-toi à [[v]] pour voir.",
    "git clone [[v]]",
    "curl -s [[v]] | head",
    'const url = "[[v]]";',
    "<[[v]]>",
)

LOGIN = ("[[v]]", "Run `[[v]]` to see it.", "$ [[v]]\n< HTTP/1.1 200 OK", "The request was:\nGET /api HTTP/1.1\n[[v]]\n",
         "requests.get(url)  # [[v]]", "[[time]] TRACE [[v]]")  # fmt: skip

BEARER = (
    "[[v]]",
    "curl https://api.[[domain]]/me [[v]]",
    "headers = {[[v]]}",
    "[[time]] DEBUG sent [[v]]",
    "GET /v1 HTTP/1.1\n[[v]]\n",
)

ENV = (
    "[[NAME]]=[[v]]",
    "export [[NAME]]='[[v]]'",
    '[[NAME]]="[[v]]"\nLOG_LEVEL=info',
    "HOST=localhost\n[[NAME]]=[[v]]\nPORT=5432",
    '{"[[name]]": "[[v!]]"}',
    "[[name]]: [[v]]\nuser: app",
    '[[name]] = "[[v!]]"  # change later',
    "services:\n  db:\n    environment:\n      [[NAME]]: [[v]]",
    '{"arguments": "{\\"[[name]]\\": \\"[[v!!]]\\"}"}',
    "connect(user='app', [[name]]='[[v]]')",
    "const [[name]] = '[[v]]';",
    "spring.datasource.[[name]]=[[v]]",
    "set [[NAME]]=[[v]]",
    "ENV [[NAME]]=[[v]]",
)

PEOPLE = {
    "email": (
        ("en", "Send the report to [[v]] by noon."),
        ("en", "[[first]] [[last]] <[[v]]> wrote:\n> see you then"),
        ("en", "From: [[v]]\nSubject: Re: order [[reference]]"),
        ("en", "git commit --author=\"[[first]] <[[v]]>\""),
        ("en", "cc [[v]], please."),
        ("de", "Schreiben Sie mir an [[v]], dann melde ich mich."),
        ("fr", "Écrivez-moi à [[v]] !"),
        ("es", "Mándalo a [[v]], gracias."),
    ),
    "phone": (
        ("en", "Call me at [[v]] after five."),
        ("en", "[[company]], [[street]], [[city]], [[v]]"),
        ("en", "You can reach [[first]] on [[v]] or in the office."),
        ("en", "Text [[v]] to confirm your appointment on [[time]]."),
        ("de", "In den USA erreichen Sie uns unter [[v]]."),
    ),
    "international_phone": (
        ("en", "Call me at [[v]] after five."),
        ("en", "WhatsApp [[v]] works best for [[first]]."),
        ("de", "Sie erreichen mich unter [[v]], am besten vormittags."),
        ("de", "Tel.: [[v]], [[street]], [[city]]"),
        ("fr", "Appelez-moi au [[v]] ce soir."),
        ("es", "Llámame al [[v]] mañana."),
    ),
    "ip_address": (
        ("en", "[[time]] sshd: Failed password for root from [[v]] port 22"),
        ("en", "ping [[v]] gives no answer, is the host down?"),
        ("en", "The server [[v]] is at [[company]]."),
        ("en", "[[v]] - - [12/Mar/2025:10:11:12 +0000] \"GET / HTTP/1.1\" 200 512"),
        ("en", "server { listen 80; proxy_pass http://[[v]]; }"),
        ("de", "Der Rechner [[v]] antwortet nicht."),
    ),
    "ipv6": (
        ("en", "ping6 [[v]] gives no answer."),
        ("en", "inet6 [[v]] prefixlen 64"),
        ("en", "listen on [[[v]]]:443 please"),
        ("en", "AAAA record of [[domain]]: [[v]]"),
        ("de", "Der Rechner [[v]] antwortet nicht."),
    ),
    "mac_address": (
        ("en", "link/ether [[v]] brd ff:ff:ff:ff:ff:ff"),
        ("en", "Block the device [[v]] on the router."),
        ("en", "DHCPACK to [[v]] via eth0 at [[time]]"),
        ("de", "Das Gerät [[v]] ist unbekannt."),
    ),
    "credit_card": (
        ("en", "Charge [[v]] for the stay, expires 11/29."),
        ("en", "payment declined for [[v]] ([[first]] [[last]])"),
        ("en", "Test with [[v]] and CVC 123."),
        ("de", "Bitte buchen Sie von [[v]] ab."),
        ("fr", "Débitez la carte [[v]] s'il vous plaît."),
    ),
    "iban": (
        ("en", "Transfer $[[number]] to [[v]], reference [[reference]]."),
        ("de", "Überweisen Sie den Betrag auf [[v]]."),
        ("fr", "Virement sur [[v]] avant lundi."),
        ("es", "Haz la transferencia a [[v]]."),
    ),
    "crypto_address": (
        ("en", "Send the payment to wallet [[v]] today."),
        ("en", "Donations: [[v]]"),
        ("en", "withdraw 0.25 to address [[v]]"),
    ),
    "passport_mrz": (("en", "Second line of the MRZ:\n[[v]]"), ("en", "MRZ: [[v]]"), ("en", "[[v]]")),
    "date_of_birth": (
        ("en", "[[first]] [[last]], born [[v]] in [[city]]."),
        ("en", "I was born on [[v]]."),
        ("en", "DOB [[v]], patient [[last]]"),
    ),
    "date_of_birth_de": (("de", "[[first]] [[last]], geboren am [[v]] in [[city]]."), ("de", "Geburtsdatum: [[v]]"), ("de", "geb. [[v]]")),
    "date_of_birth_fr": (("fr", "[[first]] [[last]], né le [[v]] à [[city]]."), ("fr", "Date de naissance : [[v]]"), ("fr", "née le [[v]]")),
    "date_of_birth_es": (("es", "[[first]] [[last]], nacido el [[v]] en [[city]]."), ("es", "Fecha de nacimiento: [[v]]"), ("es", "nacida el [[v]]")),
}  # fmt: skip

ENV_NAMES = (
    "DB_PASSWORD", "APP_SECRET", "ADMIN_PASSWORD", "API_TOKEN", "CLIENT_SECRET", "SECRET_KEY", "REDIS_PASSWORD",
    "SMTP_PASS", "JWT_SECRET", "ENCRYPTION_KEY", "MYSQL_ROOT_PASSWORD", "SESSION_SECRET", "AUTH_TOKEN", "API_KEY",
)  # fmt: skip
