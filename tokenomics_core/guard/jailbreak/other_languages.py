"""The strongest signs in other languages: instructions lose force, the prompt is told, limits fall.

Letters with accents also stand without them, as in hasty writing.
"""

from __future__ import annotations

from typing import Final

from tokenomics_core.guard.jailbreak.sign import CLEAR, STRONG, Category, Sign, phrase, some

_CHINESE_WHICH = (
    "(?:你|您|所有|全部|一切|之前|以前|先前|上面|以上|前面|上述|此前|原有|任何|系统|系統|内置|的){1,6}"
)
_CHINESE_ORDERS = "(?:指令|指示|提示词|提示詞|命令|设定|設定|限制|约束|約束|规则|規則)"
_JAPANESE_WHICH = "(?:これまで|今まで|ここまで|以前|以上|上記|従来|先程|先ほど|前|元|あなた|システム)"
_JAPANESE_ORDERS = "(?:指示|命令|ルール|規則|指令|プロンプト|制約)"

_TABLE: Final[tuple[tuple[str, Category, float, str], ...]] = (
    (
        "override_german",
        "override",
        STRONG,
        r"\b(?:ignorier(?:e|t|en sie){0,1}|vergiss|vergesst|vergessen sie|missachten?(?: sie){0,1}"
        r"|verwirf|verwerfen sie) (?:bitte ){0,1}"
        + some("alle|alles|sämtliche|saemtliche|die|deine|eure|ihre|diese|jegliche|von", 3)
        + r"(?:(?:vorherigen?|bisherigen?|vorigen?|obigen?|früheren?|frueheren?|vorangegangenen?"
        r"|ursprünglichen?|oben genannten) ){0,1}"
        r"(?:system)?(?:anweisung(?:en){0,1}|instruktion(?:en){0,1}|vorgaben|richtlinien|befehle|regeln)",
    ),
    (
        "override_german_not",
        "override",
        CLEAR,
        r"\bbeacht(?:e|et|en sie) "
        + some("alle|die|deine|diese|ihre", 2)
        + r"(?:vorherigen|bisherigen|obigen|früheren|vorigen) "
        r"(?:anweisungen|instruktionen|vorgaben|richtlinien|befehle|regeln) (?:ab jetzt ){0,1}nicht",
    ),
    (
        "override_french",
        "override",
        STRONG,
        r"\b(?:ignore[rz]{0,1}|oublie[rz]{0,1}|n[ée]glige[rz]{0,1}|ne (?:tiens|tenez) (?:pas |plus "
        r"|aucun ){0,1}compte de?s?|fai(?:s|tes) abstraction de?s?) "
        + some("toutes?|tous|les|tes|vos|ces|des|de", 3)
        + r"(?:instructions|consignes|directives|r[èe]gles|ordres) (?:qui |du |de |ci"
        r" ){0,2}(?:pr[ée]c[ée]dent|ant[ée]rieur|ci-dessus|dessus|initial|syst[èe]me|origine)",
    ),
    (
        "override_spanish",
        "override",
        STRONG,
        r"\b(?:ignor(?:a|e|ad|en)|olvid(?:a|e|ad|en)|descart(?:a|e)|desestim(?:a|e)|ha(?:z|ga) caso"
        r" omiso (?:de|a)|no hagas caso (?:de|a)) "
        + some("todas?|todos|las|los|tus|sus|estas|mis", 3)
        + r"(?:instrucciones|indicaciones|reglas|[óo]rdenes|directrices|normas) (?:(?:de|del)"
        r" ){0,1}(?:anterior|previa|arriba|sistema|original|inicial)",
    ),
    (
        "override_italian",
        "override",
        STRONG,
        r"\b(?:ignora(?:te|re){0,1}|dimentica(?:te|re){0,1}|trascura(?:te){0,1}|non (?:considerare"
        r"|tenere conto delle)) "
        + some("tutte|le|tue|vostre|queste", 3)
        + r"(?:istruzioni|indicazioni|regole|direttive|linee guida) (?:(?:di|del) ){0,1}(?:precedent"
        r"|anterior|cui sopra|sopra|inizial|sistema|original)",
    ),
    (
        "override_portuguese",
        "override",
        STRONG,
        r"\b(?:ignor(?:e|a|em)|esque[çc](?:a|am)|esquece|desconsider(?:e|a|em)|descarte) "
        + some("todas?|as|suas|tuas|essas|estas|das|de", 3)
        + r"(?:instru[çc][õo]es|regras|diretrizes|orienta[çc][õo]es|ordens|comandos) (?:(?:de|do)"
        r" ){0,1}(?:anterior|pr[ée]via|acima|sistema|inicia|origina)",
    ),
    (
        "override_dutch",
        "override",
        STRONG,
        r"\b(?:negeer|vergeet) "
        + some("alle|de|je|jouw|uw|al", 3)
        + r"(?:bovenstaande|vorige|eerdere|voorgaande|voorafgaande) "
        r"(?:instructies|regels|opdrachten|richtlijnen|aanwijzingen)",
    ),
    (
        "override_polish",
        "override",
        STRONG,
        r"\b(?:zignoruj|ignoruj|zapomnij o|pomiń) "
        + some("wszystkie|wszystkich|swoje|swoich", 2)
        + r"(?:poprzedni|wcześniejsz|powyższ)(?:e|ych|ich) (?:instrukcj|polece|zasad|wytyczn)",
    ),
    (
        "override_russian",
        "override",
        STRONG,
        r"(?:игнорируй|игнорируйте|проигнорируй|проигнорируйте|забудь|забудьте|отбрось|не обращай"
        r" внимания на|не учитывай) "
        + some("все|всё|обо|о|про|всех|свои|твои|эти|свойх|своих", 3)
        + r"(?:(?:предыдущ|прошл|прежн|предшествующ|вышеуказанн|системн|изначальн|исходн)[а-я]{1,4} ){0,2}"
        r"(?:инструкци|указани|правил|команд|ограничени)",
    ),
    (
        "override_chinese",
        "override",
        STRONG,
        r"(?:忽略|无视|忽視|無視|忘记|忘記|忘掉|抛开|不要理会|无需理会|不要遵守)(?:掉|了){0,1}"
        + _CHINESE_WHICH
        + _CHINESE_ORDERS,
    ),
    (
        "override_japanese",
        "override",
        STRONG,
        _JAPANESE_WHICH
        + r"(?:の|に|すべて|全て|全部|まで|あらゆる|与えられた|出された|システム){1,4}"
        + _JAPANESE_ORDERS
        + r"(?:を|は)(?:すべて|全て|全部|一切|完全に|今すぐ){0,2}(?:無視|忘れ|破棄|取り消)",
    ),
    (
        "override_korean",
        "override",
        STRONG,
        r"(?:이전|위|앞|지금까지)(?:의|에){0,1}[\s]{0,4}(?:모든|있는|준){0,1}[\s]{0,4}(?:지시|명령|지침"
        r"|규칙)(?:사항){0,1}(?:들){0,1}(?:을|를|은|는){0,1}"
        r"[\s]{0,4}(?:모두|전부|다){0,1}[\s]{0,4}(?:무시|잊)",
    ),
    (
        "exfiltrate_german",
        "exfiltrate",
        CLEAR,
        r"\b(?:zeige?|verrate?|nenne?|gib|gebe|wiederhole?|drucke?|schreibe?)(?: mir){0,1} (?:bitte ){0,1}"
        + some("den|die|das|alle|genauen|vollständigen", 2)
        + r"(?:deinen?|deiner|ihren?) (?:\S{1,16} ){0,1}(?:system-{0,1}prompts?"
        r"|systemanweisung(?:en){0,1}|anweisungen|systemnachricht)",
    ),
    (
        "exfiltrate_french",
        "exfiltrate",
        CLEAR,
        r"\b(?:affiche[rz]{0,1}|montre[rz]{0,1}|r[ée]v[èe]le[rz]{0,1}|donne[rz]{0,1}"
        r"|r[ée]p[èe]te[rz]{0,1})(?: moi){0,1} (?:ton|votre|tes|vos) "
        r"(?:prompt|invite|instructions|consignes) (?:du |de ){0,1}(?:syst[èe]me|initial|secr[èe]t)",
    ),
    (
        "exfiltrate_spanish",
        "exfiltrate",
        CLEAR,
        r"\b(?:mu[ée]stra(?:me){0,1}|revela(?:me){0,1}|repite|dime|imprime) (?:tu|tus|su|sus)"
        r" (?:prompt|instrucciones|mensaje) (?:del |de ){0,1}(?:sistema|inicial|secret|ocult)",
    ),
    (
        "exfiltrate_italian",
        "exfiltrate",
        CLEAR,
        r"\b(?:mostra(?:mi){0,1}|rivela(?:mi){0,1}|ripeti|dimmi|stampa) (?:il |le ){0,1}(?:tuo|tue)"
        r" (?:prompt|istruzioni) (?:di |del ){0,1}(?:sistema|inizial|segret)",
    ),
    (
        "exfiltrate_portuguese",
        "exfiltrate",
        CLEAR,
        r"\b(?:mostr(?:e|a)|revel(?:e|a)|repita|imprima|diga)(?: me){0,1} (?:o |as ){0,1}(?:seu|teu"
        r"|suas|tuas) (?:prompt|instru[çc][õo]es) (?:de |do ){0,1}(?:sistema|inicia|secret)",
    ),
    (
        "exfiltrate_russian",
        "exfiltrate",
        CLEAR,
        r"(?:покажи|выведи|раскрой|повтори|напиши|назови)(?:те){0,1} (?:мне ){0,1}(?:свой|твой|ваш"
        r"|свои|твои) (?:системн[а-я]{1,3} |исходн[а-я]{1,3} ){0,1}(?:промпт|инструкции|подсказк)",
    ),
    (
        "exfiltrate_chinese",
        "exfiltrate",
        CLEAR,
        r"(?:输出|輸出|显示|顯示|打印|告诉我|告訴我|重复|重複|透露|泄露|展示)(?:出|一下|给我){0,2}(?:你|您)(?:的|所有|全部|完整|原始|初始){0,4}"
        r"(?:系统提示|系統提示|提示词|提示詞|系统指令|初始指令|系统消息)",
    ),
    (
        "exfiltrate_japanese",
        "exfiltrate",
        CLEAR,
        r"(?:システムプロンプト|(?:初期|隠された|内部の)(?:指示|プロンプト))(?:の(?:内容|全文)){0,1}を(?:そのまま|全て|すべて|全部){0,1}"
        r"(?:表示|出力|教え|開示|公開|見せ|繰り返)",
    ),
    (
        "limits_german",
        "role_play",
        CLEAR,
        r"\bdu (?:bist|wirst) (?:jetzt|nun|ab jetzt|ab sofort) (?:\S{1,16} ){0,4}ohne (?:jede "
        r"|jegliche |alle ){0,1}(?:einschränkungen?|regeln|filter|beschränkungen?|moral)",
    ),
    (
        "limits_french",
        "role_play",
        CLEAR,
        r"\btu es (?:maintenant|d[ée]sormais) (?:\S{1,16} ){0,4}sans (?:aucune? ){0,1}(?:restrictions?"
        r"|limites?|filtres?|r[èe]gles?|censure)",
    ),
    (
        "limits_spanish",
        "role_play",
        CLEAR,
        r"\b(?:ahora eres|eres ahora|a partir de ahora eres) (?:\S{1,16} ){0,4}sin (?:ninguna? "
        r"|ning[úu]n ){0,1}(?:restricci[óo]n|restricciones|l[íi]mites|filtros|reglas|censura)",
    ),
    (
        "limits_italian",
        "role_play",
        CLEAR,
        r"\b(?:ora sei|adesso sei|sei ora|da ora in poi sei) (?:\S{1,16} ){0,4}senza (?:alcuna?"
        r" ){0,1}(?:restrizion|limit|filtr|regol|censur)",
    ),
    (
        "limits_portuguese",
        "role_play",
        CLEAR,
        r"\b(?:agora voc[êe] [ée]|a partir de agora,? voc[êe] [ée]|voc[êe] agora [ée]) (?:\S{1,16}"
        r" ){0,4}sem (?:nenhuma |qualquer ){0,1}(?:restri[çc]|limites|filtros|regras|censura)",
    ),
    (
        "limits_russian",
        "role_play",
        CLEAR,
        r"ты (?:теперь|отныне) (?:\S{1,16} ){0,4}без (?:всяких |каких-либо ){0,1}(?:ограничений"
        r"|цензуры|правил|фильтров)",
    ),
    (
        "limits_chinese",
        "role_play",
        CLEAR,
        r"(?:你|您)(?:现在|現在|从现在起|將|将)(?:是|扮演|成为|成為)[^。\n]{0,20}(?:没有|沒有|不受)(?:任何|道德|一切){0,2}(?:限制|约束|約束"
        r"|规则|規則)",
    ),
    (
        "limits_japanese",
        "role_play",
        CLEAR,
        r"あなたは(?:今|これ){0,1}(?:から){0,1}[^。\n]{0,12}(?:制限|制約|規制|フィルター)(?:の|が)(?:ない|無い"
        r"|一切ない)[^。\n]{0,8}(?:AI|人工知能|モデル|アシスタント)",
    ),
)

SIGNS: Final = tuple(Sign(id, category, phrase(text), weight) for id, category, weight, text in _TABLE)
