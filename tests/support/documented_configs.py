"""Configs of the shape that the replaced services' documents show, with values of our own."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]

STATES = [{"name": "平静", "keywords": ["早安", "晚安"]}, {"name": "兴奋", "keywords": ["周末", "旅行"]}]

SHORT_PERSONA: Config = {
    "persona": "爱讲冷笑话的图书管理员",
    "bot_overrides": {"nickname": "小书", "platform": "qq", "qq_account": "10086"},
    "config_overrides": {
        "personality": {"reply_style": "慢条斯理", "interest": "旧书、地图"},
        "chat": {"max_context_size": 24, "response_timeout": 45},
    },
    "tags": ["图书", "问答"],
}

LISTED: Config = {
    "persona": "值夜班的门卫",
    "bot_overrides": {"nickname": "老张", "platform": "qq"},
    "config_overrides": {"personality": {"reply_style": "话少"}},
    "tags": ["门卫"],
}

UPDATED: Config = {
    "persona": "值白班的门卫，更加热情",
    "bot_overrides": {"nickname": "小张", "platform": "discord"},
    "config_overrides": {
        "personality": {"reply_style": "直接", "interest": "足球、天气"},
        "chat": {"max_context_size": 12},
    },
    "tags": ["门卫", "白班"],
}

PARTIAL: Config = {
    "persona": {"personality": "改过一次的性格"},
    "config_overrides": {"chat": {"max_context_size": 33}},
}

STRUCTURED: Config = {
    "persona": {
        "personality": "细心的植物学家",
        "reply_style": "温柔",
        "interest": "苔藓、蕨类",
        "plan_style": "先听后说",
        "private_plan_style": "多问一句",
        "visual_style": "水彩",
        "states": STATES,
        "state_probability": 0.4,
    },
    "bot_overrides": {
        "platform": "qq",
        "qq_account": "20002",
        "nickname": "小苔",
        "platforms": ["telegram", "kook"],
        "alias_names": ["苔苔", "植物学家"],
    },
    "config_overrides": {
        "chat": {
            "max_context_size": 22,
            "interest_rate_mode": "medium",
            "planner_size": 1.75,
            "mentioned_bot_reply": False,
            "auto_chat_value": 0.6,
            "enable_auto_chat_value_rules": True,
            "at_bot_inevitable_reply": 1.1,
            "planner_smooth": 2.25,
            "talk_value": 0.7,
            "enable_talk_value_rules": False,
            "talk_value_rules": [{"condition": "night", "value": 0.2}, {"condition": "day", "value": 1.3}],
            "auto_chat_value_rules": [{"condition": "busy", "value": 0.4}],
        },
        "memory": {"max_memory_number": 120, "memory_build_frequency": 3},
        "mood": {"enable_mood": True, "mood_update_threshold": 1.4, "emotion_style": "平和"},
        "plugin": {
            "enable_plugins": True,
            "tenant_mode_disable_plugins": False,
            "allowed_plugins": ["plant_lookup", "weather"],
            "blocked_plugins": ["shell"],
        },
    },
}

COMPLETE: Config = {
    "persona": {name: value for name, value in STRUCTURED["persona"].items() if name != "visual_style"},
    "bot_overrides": STRUCTURED["bot_overrides"],
    "config_overrides": {
        **STRUCTURED["config_overrides"],
        "emoji": {"emoji_chance": 0.3, "do_replace": True, "content_filtration": True},
    },
}

# Of the document of config fields; the model that it names is defined nowhere.
OF_THE_FIELD_DOCUMENT: Config = {
    "persona": {"personality": "万事通"},
    "config_overrides": {
        "chat": {"max_context_size": 80},
        "debug": {"show_prompt": True, "show_replyer_reasoning": True},
        "lpmm_knowledge": {"enable": True, "lpmm_mode": "accurate"},
        "chinese_typo": {"enable": True, "error_rate": 0.02},
        "model": {"model_task_config": {"replyer": {"model_list": ["our-own-model"], "temperature": 0.65}}},
    },
}

# Of the end-to-end test, in a change.
NEW_FIELDS: Config = {
    "config_overrides": {
        "message_receive": {"ban_words": ["垃圾", "广告"], "ban_msgs_regex": ["^spam.*$"]},
        "memory": {"max_agent_iterations": 7, "enable_jargon_detection": True},
        "expression": {"reflect": True, "reflect_operator_id": "op_77", "allow_reflect": ["room_5"]},
    }
}
