"""Keywords of OpenMoji's pieces, English and Chinese, by the subgroup that a piece is in.

A name says which piece it is, a keyword what kind of thing: a tiger face is an "animal", a
"mammal", 动物. The words are this library's own; subgroups are those of
`minigen.data.openmoji_groups`.
"""

from functools import cache

_TABLE = """
face-smiling: smiling face, happy | 笑脸, 开心
face-affection: loving face, affection | 喜爱的表情, 爱意
face-tongue: face with tongue, playful | 吐舌的表情, 调皮
face-hand: face with a hand | 带手的表情
face-neutral-skeptical: neutral face, doubt | 中性的表情, 怀疑
face-sleepy: sleepy face, tired | 困倦的表情, 疲惫
face-unwell: unwell face, ill | 不舒服的表情, 生病
face-hat: face with a hat | 戴帽子的表情
face-glasses: face with glasses | 戴眼镜的表情
face-concerned: worried face, sad | 担心的表情, 难过
face-negative: angry face, bad | 生气的表情, 愤怒
face-costume: costume, creature | 装扮, 怪物
cat-face: cat, animal | 猫, 动物
monkey-face: monkey, animal | 猴子, 动物
heart: heart, love | 心, 爱
emotion: emotion, comic sign | 情绪, 漫画符号
hand-fingers-open: hand, gesture | 手, 手势
hand-fingers-partial: hand, gesture | 手, 手势
hand-single-finger: finger, hand, gesture | 手指, 手势
hand-fingers-closed: fist, hand, gesture | 拳头, 手势
hands: two hands, gesture | 双手, 手势
hand-prop: hand with a thing | 拿东西的手
body-parts: body part | 身体部位
person: person | 人
person-gesture: person, gesture | 人, 姿势
person-role: person, role | 人物, 职业
person-fantasy: fantasy, person | 幻想人物
person-activity: person, activity | 人, 活动
person-sport: person, sport | 人, 运动
person-resting: person, resting | 人, 休息
family: couple, family | 情侣, 家庭
person-symbol: sign of a person | 人的标志
skin-tone: skin tone | 肤色
hair-style: hair | 头发
animal-mammal: animal, mammal | 动物, 哺乳动物
animal-bird: animal, bird | 动物, 鸟
animal-amphibian: animal, amphibian | 动物, 两栖动物
animal-reptile: animal, reptile | 动物, 爬行动物
animal-marine: animal, sea animal | 动物, 海洋动物
animal-bug: animal, insect | 动物, 昆虫
plant-flower: plant, flower | 植物, 花
plant-other: plant | 植物
food-fruit: food, fruit | 食物, 水果
food-vegetable: food, vegetable | 食物, 蔬菜
food-prepared: food, meal | 食物, 菜肴
food-asian: food, asian food | 食物, 亚洲美食
food-marine: food, seafood | 食物, 海鲜
food-sweet: food, sweets | 食物, 甜点
drink: drink | 饮料
dishware: tableware | 餐具
place-map: map, world | 地图, 世界
place-geographic: landscape | 风景
place-building: building | 建筑
place-religious: building, religion | 宗教建筑
place-other: place, view | 地点, 景色
transport-ground: vehicle, traffic | 车辆, 交通
transport-water: ship, traffic | 船, 交通
transport-air: flight, traffic | 飞行, 交通
hotel: travel | 旅行
time: clock, time | 时钟, 时间
sky-weather: sky, weather | 天空, 天气
event: party, holiday | 庆祝, 节日
award-medal: award, medal | 奖牌
sport: sport | 运动
game: game | 游戏
arts-crafts: art, craft | 艺术, 手工
clothing: clothes | 衣物
sound: sound | 声音
music: music | 音乐
musical-instrument: musical instrument | 乐器
phone: telephone | 电话
computer: computer | 电脑
light-video: light, film | 灯光, 影像
book-paper: book, paper | 书, 纸
money: money | 钱
mail: mail | 邮件
writing: pen, writing | 笔, 书写
office: office | 办公
lock: lock, key | 锁, 钥匙
tool: tool | 工具
science: science | 科学
medical: medicine | 医疗
household: household | 家居
other-object: object | 物品
transport-sign: sign, traffic | 标志, 交通
warning: warning, sign | 警告, 标志
arrow: arrow | 箭头
religion: religion, symbol | 宗教, 符号
zodiac: zodiac, symbol | 星座, 符号
av-symbol: button, player | 按钮, 播放
gender: gender, symbol | 性别, 符号
math: mathematics, symbol | 数学, 符号
punctuation: punctuation mark | 标点
currency: currency, symbol | 货币, 符号
other-symbol: symbol | 符号
keycap: keycap, digit | 按键, 数字
alphanum: letters, button | 字母, 按钮
geometric: shape | 形状
flag: flag | 旗
country-flag: flag, country | 国旗, 国家
"""


def keywords(subgroup: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """English and Chinese keywords of a subgroup; none of one that is not in the table.

    >>> keywords("animal-mammal"), keywords("")
    ((('animal', 'mammal'), ('动物', '哺乳动物')), ((), ()))
    """
    return _keywords().get(subgroup, ((), ()))


@cache
def _keywords() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    found = {}
    for line in _TABLE.split("\n")[1:-1]:
        subgroup, _, words = line.partition(": ")
        english, chinese = (tuple(part.strip().split(", ")) for part in words.split("|"))
        found[subgroup] = english, chinese
    return found
