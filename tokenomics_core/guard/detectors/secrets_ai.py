"""Keys of model providers and of the services around them."""

from __future__ import annotations

from tokenomics_core.guard.detectors._secret_checks import HEX, dense, hexadecimal
from tokenomics_core.guard.detectors._secret_shapes import (
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

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_A_UUID = "5f0c9d1e-2b7a-4c36-8e9f-a1b2c3d4e5f6"

DETECTORS = (
    key(
        "openai_key",
        "OpenAI API Key",
        r"sk-(?:proj-|svcacct-|admin-|None-|service-)[A-Za-z0-9_-]{20,}|sk-[A-Za-z0-9_-]{16,}T3BlbkFJ[A-Za-z0-9_-]{16,}",
        "sk-" + "proj-" + sample(74, URL_SAFE) + "T3Blbk" + "FJ" + sample(74, URL_SAFE),
        clean=("sk-proj-your-key-here-and-nothing-else", "the prefix sk-proj-"),
    ),
    key(
        "openai_session",
        "OpenAI Session Key",
        r"sess-[A-Za-z0-9]{40,}",
        "sess-" + sample(40),
    ),
    key(
        "anthropic_key",
        "Anthropic API Key",
        r"sk-ant-(?:api|admin|sid)[0-9]{2}-[A-Za-z0-9_-]{20,}",
        "sk-" + "ant-api03-" + sample(93, URL_SAFE) + "AA",
        clean=("sk-ant-api03-xxxxxxxxxxxxxxxxxxxxxxxxxxxx",),
    ),
    key(
        "anthropic_oauth",
        "Anthropic OAuth Token",
        r"sk-ant-o[ar]t[0-9]{2}-[A-Za-z0-9_-]{20,}",
        "sk-" + "ant-oat01-" + sample(86, URL_SAFE) + "AA",
    ),
    key(
        "google_api_key",
        "Google API Key",
        r"AIza[A-Za-z0-9_-]{35,}",
        "AI" + "za" + sample(35, URL_SAFE),
        clean=("AIza" + "x" * 35,),
    ),
    key(
        "gemini_key",
        "Gemini Authorization Key",
        r"AQ\.Ab[A-Za-z0-9_-]{40,}",
        "AQ." + "Ab" + sample(48, URL_SAFE),
    ),
    context_key(
        "azure_openai_key",
        "Azure OpenAI Key",
        HEX32,
        ("azure", "cognitive", "ocp-apim-subscription-key", "openai"),
        clean=("azure md5 " + sample(32, HEX),),
    ),
    key("groq_key", "Groq API Key", r"gsk_[A-Za-z0-9]{40,}", "gsk_" + sample(52)),
    key(
        "huggingface_token",
        "Hugging Face Token",
        r"hf_[A-Za-z0-9]{30,}|api_org_[A-Za-z0-9]{30,}",
        "hf_" + sample(34),
        clean=("hf_hub_enable_hf_transfer", "hf_" + "x" * 34),
    ),
    key("replicate_token", "Replicate API Token", r"r8_[A-Za-z0-9]{36,}", "r8_" + sample(37)),
    key("xai_key", "xAI API Key", r"xai-[A-Za-z0-9]{60,}", "xai-" + sample(80)),
    key("perplexity_key", "Perplexity API Key", r"pplx-[A-Za-z0-9]{40,}", "pplx-" + sample(48)),
    key(
        "openrouter_key",
        "OpenRouter API Key",
        r"sk-or-v[0-9]-[0-9a-f]{40,}",
        "sk-" + "or-v1-" + sample(64, HEX),
    ),
    key("nvidia_key", "NVIDIA API Key", r"nvapi-[A-Za-z0-9_-]{40,}", "nvapi-" + sample(64, URL_SAFE)),
    key("fireworks_key", "Fireworks API Key", r"fw_[A-Za-z0-9]{22,}", "fw_" + sample(24)),
    key(
        "cerebras_key",
        "Cerebras API Key",
        r"csk-[a-z0-9]{40,}",
        "csk-" + sample(48, "abcdefghjkmnpqrstuvwxy2345689"),
    ),
    key(
        "together_key", "Together API Key", r"tgp_v[0-9]_[A-Za-z0-9_-]{30,}", "tgp_v1_" + sample(43, URL_SAFE)
    ),
    context_key("together_hex_key", "Together API Key", HEX64, ("together",)),
    context_key("cohere_key", "Cohere API Key", ALNUM40, ("cohere", "co_api_key")),
    context_key("mistral_key", "Mistral API Key", ALNUM32, ("mistral",)),
    context_key("ai21_key", "AI21 API Key", ALNUM32, ("ai21",)),
    context_key("clarifai_key", "Clarifai Token", HEX32, ("clarifai",)),
    context_key(
        "deepseek_key",
        "DeepSeek API Key",
        r"\b(sk-[0-9a-f]{32})\b",
        ("deepseek",),
        "sk-" + sample(32, HEX),
        check=hexadecimal,
    ),
    context_key(
        "dashscope_key",
        "Alibaba Model Studio Key",
        r"\b(sk-[0-9a-f]{32})\b",
        ("dashscope", "qwen", "bailian", "model studio"),
        "sk-" + sample(32, HEX),
        check=hexadecimal,
    ),
    context_key(
        "zhipu_key",
        "Zhipu API Key",
        r"\b([0-9a-f]{32}\.[A-Za-z0-9]{16})\b",
        ("zhipu", "glm", "bigmodel", "zai", "z.ai"),
        sample(32, HEX) + "." + sample(16),
        score=0.45,
    ),
    context_key("deepgram_key", "Deepgram API Key", HEX40, ("deepgram",)),
    context_key("assemblyai_key", "AssemblyAI API Key", HEX32, ("assemblyai", "assembly ai", "assembly_ai")),
    context_key(
        "wandb_key", "Weights & Biases API Key", HEX40, ("wandb", "weights & biases", "weights and biases")
    ),
    key(
        "wandb_v1_key",
        "Weights & Biases API Key",
        r"wandb_v[0-9]_[A-Za-z0-9_-]{40,}",
        "wandb_v1_" + sample(70),
    ),
    context_key("exa_key", "Exa API Key", UUID, ("exa", "exa_api_key", "metaphor"), score=0.2),
    key("elevenlabs_key", "ElevenLabs API Key", r"sk_[0-9a-f]{40,}", "sk_" + sample(48, HEX)),
    key(
        "langsmith_key",
        "LangSmith API Key",
        r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}",
        "lsv2_" + "pt_" + sample(32, HEX) + "_" + sample(10, HEX),
    ),
    key("langfuse_key", "Langfuse Secret Key", rf"sk-lf-{_UUID}", "sk-" + "lf-" + _A_UUID),
    key(
        "helicone_key",
        "Helicone API Key",
        r"(?:sk|pk)-helicone-[a-z0-9-]{20,}",
        "sk-" + "helicone-" + "ab3de4f-gh5ij6k-lm7no8p-qr9st0u",
    ),
    key(
        "pinecone_key", "Pinecone API Key", r"pcsk_[A-Za-z0-9_]{40,}", "pcsk_" + sample(6) + "_" + sample(63)
    ),
    key("llamacloud_key", "LlamaCloud API Key", r"llx-[A-Za-z0-9]{30,}", "llx-" + sample(48)),
    key("voyage_key", "Voyage AI API Key", r"(?:pa|al)-[A-Za-z0-9_-]{43}", "pa-" + sample(43), check=dense),
    key("jina_key", "Jina AI API Key", r"jina_[A-Za-z0-9_-]{50,}", "jina_" + sample(60)),
    key(
        "tavily_key", "Tavily API Key", r"tvly-(?:dev-|prod-)?[A-Za-z0-9]{28,}", "tvly-" + "dev-" + sample(32)
    ),
    key("firecrawl_key", "Firecrawl API Key", r"fc-[0-9a-f]{32}", "fc-" + sample(32, HEX), check=hexadecimal),
    key("e2b_key", "E2B API Key", r"e2b_[0-9a-f]{40}", "e2b_" + sample(40, HEX), check=hexadecimal),
    key("browserbase_key", "Browserbase API Key", r"bb_live_[A-Za-z0-9_-]{20,}", "bb_live_" + sample(27)),
    key(
        "runpod_key",
        "RunPod API Key",
        r"rpa_[A-Z0-9]{40,}",
        "rpa_" + sample(44, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"),
    ),
    key("anyscale_key", "Anyscale API Key", r"esecret_[A-Za-z0-9]{20,}", "esecret_" + sample(26)),
    key("friendli_key", "Friendli Token", r"flp_[A-Za-z0-9]{40,}", "flp_" + sample(46)),
    key("vercel_ai_key", "Vercel AI Gateway Key", r"vck_[A-Za-z0-9]{40,}", "vck_" + sample(56)),
    key("stability_key", "Stability AI API Key", r"sk-[A-Za-z0-9]{48}", "sk-" + sample(48)),
)
