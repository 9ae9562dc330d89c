"""Origin: own selection of frequent characters, weights assumed. Names are put together by chance and mean no real person.

Rare characters are there because banks' systems fail on them: some stand outside GBK, some outside the first plane.
"""

from __future__ import annotations

#: Weight → surnames of that weight; frequent in Guangdong, some of two characters.
SURNAMES: dict[int, str] = {
    62: "陈",
    50: "李",
    48: "黄",
    46: "梁",
    40: "何",
    34: "张",
    28: "林",
    26: "罗",
    24: "吴 刘",
    22: "麦 周 邓",
    20: "谭 冯",
    18: "区 潘 关 卢 杨 王",
    16: "霍 郭 叶",
    14: "苏 黎",
    12: "杜 孔 曾 谢",
    10: "徐 简 蔡 胡 朱 陆 钟",
    8: "欧阳 邝 江 伍 赵 郑",
    6: "康 岑 招 颜 崔 庞 温 莫",
    4: "司徒 游 利",
    3: "仇 单",
}
MALE = "建国志强明华伟文军平德荣辉耀祥坚健雄锦添炳棠汉佳永福有金光胜利民生兴旺权根树洪锐波涛刚毅栋庆仁义礼智勇成才润泉松柏林海江山全鸿昌盛富贵"
FEMALE = "丽娟珍玉兰芳英秀梅凤琼惠群娥霞燕红艳萍莲淑桂琴洁敏霭嫦娣好彩仪银笑婵少容巧云月转带顺翠清柳碧瑶佩珊嘉婉慧贤雪蓉菊香妙莹"
#: Outside GBK: 䶮 㛃 㼆 𬭚 𬬭 𣲗 𠮷; the others are in GBK, but in few fonts.
RARE = "𠮷䶮㛃堃㼆𬭚𬬭𣲗珺燚赟玥龑"
#: Written with U+00B7 between the two parts.
MINORITY_GIVEN = ("阿依古丽", "古丽娜尔", "迪丽努尔", "热娜", "艾山", "卡德尔", "吐尔逊", "巴哈尔", "阿米娜", "尼加提")
MINORITY_FATHER = ("买买提", "阿不都拉", "吐尔逊", "木合塔尔", "尼亚孜", "依米提", "赛买提", "阿不力孜")
#: A character, and the one that a clerk took for it: what name mismatches are made of.
MISTAKEN = (
    "丽莉 娟绢 珍真 玉钰 兰岚 芳芬 英瑛 秀绣 梅美 凤风 惠慧 霞遐 燕艳 红虹 萍平 莲连 淑叔 桂贵 琴芹 洁杰 "
    "建健 国帼 志智 强祥 明铭 华桦 伟玮 文闻 军君 平萍 德得 荣容 辉晖 耀跃 坚健 雄熊 锦棉 炳丙 永泳 福富"
)
