-- One row per page view to score: what the model sees, in this order. A person, item or category without a row was not
-- heard of within a day, which is as good as zero of everything.
--
-- Rates of rare things are smoothed, (actions + 1) / (views + 10): one action after two looks is not yet a trend, and
-- what nobody looked at gets the rate of the average item.
SELECT
    coalesce(u.views_5m, 0)                                              AS user_views_5m,
    coalesce(u.views_1h, 0)                                              AS user_views_1h,
    coalesce(u.views_1d, 0)                                              AS user_views_1d,
    coalesce(u.actions_1h, 0)                                            AS user_actions_1h,
    (coalesce(u.actions_1d, 0) + 1.0) / (coalesce(u.views_1d, 0) + 10.0) AS user_action_rate_1d,
    coalesce(u.items_1h, 0)                                              AS user_items_1h,
    coalesce(u.categories_1h, 0)                                         AS user_categories_1h,
    coalesce(date_part('epoch', r.ts) - date_part('epoch', u.active_since_30m), 0.0) AS user_active_seconds_30m,

    coalesce(ui.views_30m, 0)                                            AS user_item_views_30m,
    coalesce(ui.views_1d, 0)                                             AS user_item_views_1d,
    coalesce(array_has(u.wanted_items, r.item_id), false)::int           AS user_wanted_item,

    coalesce(uc.views_30m, 0)                                            AS user_category_views_30m,
    coalesce(uc.actions_1d, 0)                                           AS user_category_actions_1d,
    coalesce(uc.views_1d / nullif(u.views_1d, 0)::double, 0.0)           AS user_category_share_1d,
    coalesce(array_has(u.wanted_categories, r.category_id), false)::int  AS user_wanted_category,

    coalesce(i.views_30m, 0)                                             AS item_views_30m,
    coalesce(i.views_1d, 0)                                              AS item_views_1d,
    coalesce(i.carts_1d, 0)                                              AS item_carts_1d,
    coalesce(i.people_30m, 0)                                            AS item_people_30m,
    (coalesce(i.actions_1d, 0) + 1.0) / (coalesce(i.views_1d, 0) + 10.0) AS item_action_rate_1d,

    coalesce(c.views_1h, 0)                                              AS category_views_1h,
    coalesce(c.actions_1h, 0)                                            AS category_actions_1h,
    coalesce(c.action_share_1d, 0.0)                                     AS category_action_share_1d,
    -- Above one: the category is looked at more than in the rest of the hour.
    coalesce(12.0 * c.views_5m / nullif(c.views_1h, 0), 0.0)             AS category_momentum,
    coalesce(i.views_1d / nullif(c.views_1d, 0)::double, 0.0)            AS item_share_of_category_1d
FROM requests r
LEFT JOIN user_activity  u  ON r.user_id = u.user_id
LEFT JOIN user_item      ui ON r.user_id = ui.user_id AND r.item_id = ui.item_id
LEFT JOIN user_category  uc ON r.user_id = uc.user_id AND r.category_id = uc.category_id
LEFT JOIN item_trend     i  ON r.item_id = i.item_id
LEFT JOIN category_trend c  ON r.category_id = c.category_id
