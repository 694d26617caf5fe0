from tokenomics_core.metrics.labels import OTHER, Bounded, Models


def test_values_beyond_the_most_are_other():
    label = Bounded(2)
    assert [label.of(value) for value in ("a", "b", "c", "a", "", "c")] == ["a", "b", OTHER, "a", "", OTHER]


def test_a_value_that_is_not_admitted_may_be_later():
    label = Bounded(2)
    assert [label.of("a", admit=admit) for admit in (False, True, False)] == [OTHER, "a", "a"]


def test_a_model_that_no_provider_answered_for_has_no_label():
    models = Models(2)
    assert models.of("openai", "made-up", answered=False) == ("openai", OTHER)
    assert models.of("openai", "gpt-4o", answered=True) == ("openai", "gpt-4o")
    assert models.of("openai", "gpt-4o", answered=False) == ("openai", "gpt-4o")
    assert models.of("groq", "gpt-4o", answered=False) == ("groq", OTHER)
    assert models.of("groq", "gpt-4o", answered=True) == ("groq", "gpt-4o")
    assert models.of("groq", "one-too-many", answered=True) == ("groq", OTHER)
    assert models.of("groq", "", answered=True) == ("groq", "")


def test_providers_are_bounded_too():
    models = Models(1000)
    names = {models.of(f"provider-{number}", "", answered=True)[0] for number in range(200)}
    assert len(names) == 65
