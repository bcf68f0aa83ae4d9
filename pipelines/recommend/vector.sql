-- One row per candidate: what the model sees, in this order. Unknown people and items have no row; what that means is
-- said column by column.
--
-- Rates of rare things are smoothed, (wants + 1) / (views + 10): what nobody looked at gets the rate of the average item.
SELECT
    -- Who and what, for the model's embeddings: it learns by heart what these counts cannot say.
    r.user_id % 65536                                                    AS user,
    r.item_id % 65536                                                    AS item,
    coalesce(i.category_id, 0) % 65536                                   AS category,

    coalesce(u.views_5m, 0)                                              AS user_views_5m,
    coalesce(u.views_1h, 0)                                              AS user_views_1h,
    (coalesce(u.carts_1d, 0) + 1.0) / (coalesce(u.views_1d, 0) + 10.0)   AS user_cart_rate_1d,
    coalesce(u.spend_1d, 0.0)                                            AS user_spend_1d,
    coalesce(u.categories_5m, 0)                                         AS user_categories_5m,

    coalesce(array_has(u.recent_items, r.item_id), false)::int           AS user_saw_item,
    coalesce(array_has(u.bought_items, r.item_id), false)::int           AS user_bought_item,
    coalesce(uc.views_5m, 0)                                             AS user_category_views_5m,
    coalesce(uc.wants_1d, 0)                                             AS user_category_wants_1d,
    -- How much of what the person looks at is in this category: the plainest form of taste.
    coalesce(uc.views_1h / nullif(u.views_1h, 0)::double, 0.0)           AS user_category_share_1h,

    coalesce(i.views_5m, 0)                                              AS item_views_5m,
    coalesce(i.views_1h, 0)                                              AS item_views_1h,
    coalesce(i.ranked_clicks_1h, 0)                                      AS item_ranked_clicks_1h,
    coalesce(i.buys_1d, 0)                                               AS item_buys_1d,
    (coalesce(i.wants_1d, 0) + 1.0) / (coalesce(i.views_1d, 0) + 10.0)   AS item_want_rate_1d,
    -- Above one: the item is looked at more than in the rest of the hour.
    coalesce(12.0 * i.views_5m / nullif(i.views_1h, 0), 0.0)             AS item_momentum,

    -- Dearer (above zero) or cheaper than the person is used to; zero when either is unknown.
    coalesce(i.price - u.price_1h, 0.0)                                  AS price_above_usual,
    coalesce((i.price - u.price_1h) / (u.price_spread_30m + 1.0), 0.0)   AS price_above_usual_in_spreads,
    coalesce(i.price / nullif(u.dearest_wanted_1d, 0), 1.0)              AS price_to_dearest_wanted,
    coalesce(i.price / nullif(c.price_1d, 0), 1.0)                       AS price_to_category,

    coalesce(c.views_30m, 0)                                             AS category_views_30m,
    (coalesce(c.wants_1d, 0) + 1.0) / (coalesce(c.views_1d, 0) + 10.0)   AS category_want_rate_1d
FROM requests r
LEFT JOIN user_activity  u  ON r.user_id = u.user_id
LEFT JOIN item_trend     i  ON r.item_id = i.item_id
LEFT JOIN user_category  uc ON r.user_id = uc.user_id AND i.category_id = uc.category_id
LEFT JOIN category_trend c  ON i.category_id = c.category_id
